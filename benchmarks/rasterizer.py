"""Time to find the visible faces: fragment list and numba against every face at every pixel.

Usage: python benchmarks/rasterizer.py [--size 224] [--batch 16] [--seconds 5]
Prints one table and one line of JSON; exit status 1 if a backend is less than 50 times faster.
"""

import argparse
import json
import sys
import time

import torch

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rasterizer import rasterize
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.geometry.visibility import Backend

GOAL = 50.0


def scene(batch: int, size: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hands with random poses seen from all sides, filling most of the picture."""
    generator = torch.Generator().manual_seed(0)
    hand = ManoHand()
    pose = axis_angle_to_matrix(torch.randn(batch, 16, 3, generator=generator) * 0.2)
    pose[:, 0] = axis_angle_to_matrix(torch.randn(batch, 3, generator=generator) * 2)
    with torch.no_grad():
        vertices = hand(pose, torch.randn(batch, 10, generator=generator)).vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + torch.tensor([0.0, 0.0, 0.6])
    focal = 2.5 * size
    camera = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return vertices.to(device), hand.faces.to(device), camera.expand(batch, 3, 3).to(device)


def seconds_per_image(
    backend: Backend, images: int, size: int, seconds: float, device: str
) -> tuple[float, torch.Tensor]:
    """Best of several timed calls."""
    vertices, faces, camera = scene(images, size, device)
    best, start = float("inf"), time.perf_counter()
    while True:
        began = time.perf_counter()
        found = rasterize(vertices, faces, camera, (size, size), backend)
        if device != "cpu":
            torch.cuda.synchronize()
        ended = time.perf_counter()
        best = min(best, ended - began)
        if ended - start > seconds:
            return best / images, found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    backends: list[Backend] = ["fragments"]
    if arguments.device == "cpu":
        backends.append("numba")
    few = min(arguments.batch, 2 if arguments.device == "cpu" else arguments.batch)
    dense, expected = seconds_per_image("dense", few, arguments.size, 0.0, arguments.device)
    result = {"size": arguments.size, "batch": arguments.batch, "threads": torch.get_num_threads(),
              "dense_ms": round(dense * 1e3, 2)}  # fmt: skip
    print(f"{'backend':<12}{'ms/image':>12}{'ratio':>10}\n{'dense':<12}{dense * 1e3:>12.2f}{1:>10}")
    slow = False
    for backend in backends:
        taken, _ = seconds_per_image(
            backend, arguments.batch, arguments.size, arguments.seconds, arguments.device
        )
        same = seconds_per_image(backend, few, arguments.size, 0.0, arguments.device)[1]
        if not torch.equal(same, expected):
            raise SystemExit(f"{backend} does not draw what dense draws")
        ratio = dense / taken
        slow |= ratio < GOAL
        result |= {f"{backend}_ms": round(taken * 1e3, 3), f"{backend}_ratio": round(ratio, 1)}
        print(f"{backend:<12}{taken * 1e3:>12.3f}{ratio:>10.1f}")
    print(json.dumps(result))
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
