"""Time to find the faces of hands that cut into each other, against every pair in numpy.

Usage: PYTHONPATH=src python benchmarks/self_intersection.py [--meshes 200] [--seconds 3]
One core. Prints one table and one line of JSON; exit status 1 below 20 meshes a second.
"""

import argparse
import json
import sys
import time

import numpy as np
import torch

from hand_pipeline.evaluation.generated_hands import average_pairwise_distance
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.self_intersection import self_intersecting_faces

GOAL = 20.0  # meshes a second


def hands(count: int, spread: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, joints and faces of hands in random poses; `spread` radians a joint."""
    mano = ManoHand()
    pose = spread * torch.randn(count, 48, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        mesh = mano(mano.full_pose(pose, False), torch.zeros(count, 10))
    return mesh.vertices.numpy(), mesh.joints.numpy(), mano.faces.numpy()


def edges_through(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether an edge of each of `first` runs through the one triangle `second`."""
    a, b, c = second
    normal = np.cross(b - a, c - a)
    height = (first - a) @ normal
    through = np.zeros(len(first), dtype=bool)
    for k in range(3):
        p, q = first[:, k], first[:, (k + 1) % 3]
        crossing = height[:, k] * height[:, (k + 1) % 3] < 0
        along = q - p
        turns = [np.einsum("ni,ni->n", along, np.cross(s - p, t - p))
                 for s, t in ((a, b), (b, c), (c, a))]  # fmt: skip
        same = (np.sign(turns[0]) == np.sign(turns[1])) & (np.sign(turns[1]) == np.sign(turns[2]))
        through |= crossing & same
    return through


def brute_force(mesh: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Faces that cut into one they share no corner with: each against all, no boxes."""
    corners = mesh[faces].astype(np.float64)
    marked = np.zeros(len(faces), dtype=bool)
    for face in range(len(faces)):
        near = (faces[:, :, None] == faces[face]).any((1, 2))
        cut = edges_through(corners, corners[face]) & ~near
        marked |= cut
        marked[face] |= cut.any()
    return marked


def meshes_a_second(vertices: np.ndarray, faces: np.ndarray, seconds: float) -> float:
    """Best of several timed calls, CPU time of one thread."""
    self_intersecting_faces(vertices[:1], faces, workers=1)  # compiles
    best, start = float("inf"), time.perf_counter()
    while time.perf_counter() - start < seconds:
        began = time.process_time()
        self_intersecting_faces(vertices, faces, workers=1)
        best = min(best, time.process_time() - began)
    return len(vertices) / best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshes", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=3.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, float] = {"meshes": arguments.meshes}
    print(f"{'poses':<10}{'marked':>9}{'meshes/s':>12}{'brute force':>13}{'ratio':>9}")
    slowest = float("inf")
    for name, spread in (("flat", 0.0), ("mild", 0.2), ("wild", 0.6)):
        vertices, _, faces = hands(arguments.meshes, spread)
        rate = meshes_a_second(vertices, faces, arguments.seconds)
        began = time.process_time()
        plain = brute_force(vertices[0], faces)
        plain_rate = 1 / (time.process_time() - began)
        found = self_intersecting_faces(vertices, faces, workers=1)
        if (plain & ~found[0]).any():
            raise SystemExit("brute force finds faces that the compiled test does not")
        slowest = min(slowest, rate)
        result |= {f"{name}_per_s": round(rate, 1), f"{name}_ratio": round(rate / plain_rate)}
        figures = f"{rate:>12.0f}{plain_rate:>13.2f}{rate / plain_rate:>9.0f}"
        print(f"{name:<10}{found.mean():>9.2%}{figures}")
    _, joints, _ = hands(2000, 0.3)
    began = time.perf_counter()
    apart = average_pairwise_distance(joints)
    taken = time.perf_counter() - began
    result["apd_2000_s"] = round(taken, 3)
    print(f"\nAPD of 2,000 hands: {apart:.1f} mm in {taken:.2f} s")
    print(json.dumps(result))
    return int(slowest < GOAL)


if __name__ == "__main__":
    sys.exit(main())
