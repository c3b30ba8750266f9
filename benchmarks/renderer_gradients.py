"""Time of a picture and its gradients: `render_textured` against a soft rasterizer in plain torch.

The reference draws as Liu et al. (Soft Rasterizer, ICCV 2019): every face colours every pixel
within a few pixels of it, by a sigmoid of its squared distance and a softmax of its inverse depth.

Usage: python benchmarks/renderer_gradients.py [--size 224] [--batch 16] [--repeats 5]
Prints one table and one line of JSON: the best of the repeats, by the clock and by processor time
of all threads. Exit status 1 if forward and backward take more than 15 ms an image (GPU: 1 ms).
"""

import argparse
import json
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rasterizer import at_corners
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.geometry.textured import lit_corners, render_textured
from hand_pipeline.geometry.topology import edge_faces
from hand_pipeline.geometry.visibility import cross_2d, list_fragments, to_pixels

GOAL = {"cpu": 15.0, "cuda": 1.0}  # ms an image
SIGMA, GAMMA, REACH = 0.5, 1e-3, 3.0  # pixels^2, relative inverse depth, pixels
LIGHT = (0.5, 0.6, 1.0, 0.9, 0.8, 1.0, 1.0, 0.9, -0.3, -0.4, -0.85)

Draw = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def scene(batch: int, size: int, device: str) -> tuple[ManoHand, list[Tensor]]:
    """Hands from all sides that fill the crop: vertices, colours, light, cameras."""
    generator = torch.Generator().manual_seed(0)
    hand = ManoHand().to(device)
    pose = axis_angle_to_matrix(torch.randn(batch, 16, 3, generator=generator) * 0.2)
    pose[:, 0] = axis_angle_to_matrix(torch.randn(batch, 3, generator=generator) * 2)
    with torch.no_grad():
        vertices = hand(pose.to(device), torch.zeros(batch, 10, device=device)).vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + vertices.new_tensor([0.0, 0.0, 0.6])
    focal = 2.5 * size
    camera = torch.tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]], device=device)
    colours = torch.rand(vertices.shape, generator=generator).to(device)
    light = torch.tensor(LIGHT, device=device).expand(batch, 11)
    return hand, [vertices, colours, light, camera.expand(batch, 3, 3)]


def soft_render(faces: Tensor, size: int) -> Draw:
    def draw(vertices: Tensor, colours: Tensor, light: Tensor, camera: Tensor) -> tuple:
        corners = at_corners(to_pixels(vertices, camera), faces).flatten(0, 1)
        inverse = 1 / at_corners(vertices, faces)[..., 2].flatten(0, 1)
        lit = lit_corners(vertices, faces, colours, light).flatten(0, 1)
        with torch.no_grad():
            low = (corners.amin(1) - REACH).floor().clamp(0, size)
            high = (corners.amax(1) + REACH).ceil().clamp(0, size)
            low, extent = low.long(), (high - low).long()
            face, column, row = list_fragments(low, extent, 0, len(low), None)
            pixel = (torch.div(face, len(faces), rounding_mode="floor") * size + row) * size
            pixel = pixel + column
            centre = torch.stack([column, row], -1) + 0.5
        own = corners.index_select(0, face)
        inside, squared, weight = _triangle(own, centre)
        chance = torch.sigmoid(torch.where(inside, squared, -squared) / SIGMA)
        near = (weight * inverse.index_select(0, face)).sum(-1)
        nearness = near / near.max().detach()
        pixels = len(vertices) * size * size
        peak = nearness.new_zeros(pixels).scatter_reduce(0, pixel, nearness.detach(), "amax")
        share = chance * torch.exp((nearness - peak[pixel]) / GAMMA)
        colour = (weight[..., None] * lit.index_select(0, face)).sum(1)
        total = share.new_full((pixels,), 1e-6).index_add(0, pixel, share)
        rgb = share.new_zeros(pixels, 3).index_add(0, pixel, share[:, None] * colour)
        missed = torch.log1p(-chance.clamp(max=1 - 1e-5))
        alpha = 1 - share.new_zeros(pixels).index_add(0, pixel, missed).exp()
        rgb = (rgb / total[:, None] * alpha[:, None]).view(-1, size, size, 3)
        return rgb.permute(0, 3, 1, 2), alpha.view(-1, size, size)

    return draw


def _triangle(corners: Tensor, centre: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Whether points lie in triangles, squared distance from the border, barycentric weights."""
    offset = corners - centre[:, None]
    following = offset[:, [1, 2, 0]]
    cross = cross_2d(offset, following)
    inside = (cross > 0).all(1) | (cross < 0).all(1)
    along = -(offset * (following - offset)).sum(-1)
    along = (along / ((following - offset) ** 2).sum(-1).clamp(min=1e-6)).clamp(0, 1)
    squared = (torch.lerp(offset, following, along[..., None]) ** 2).sum(-1).amin(1)
    area = cross.sum(1, keepdim=True)
    weight = cross[:, [1, 2, 0]] / torch.where(area.abs() < 1e-6, 1e-6, area)
    weight = weight.clamp(0, 1)
    return inside, squared, weight / weight.sum(1, keepdim=True).clamp(min=1e-6)


def measure(draw: Draw, arguments: list[Tensor], repeats: int) -> dict[str, float]:
    """Milliseconds an image, by the clock and by processor time."""
    best = {"ms": float("inf"), "cpu_ms": float("inf")}
    leaves = [argument.clone().requires_grad_(True) for argument in arguments]
    for _ in range(repeats):
        clock, processor = time.perf_counter(), time.process_time()
        rgb, alpha = draw(*leaves)
        torch.autograd.grad(rgb.square().mean() + alpha.mean(), leaves)
        if rgb.device.type == "cuda":
            torch.cuda.synchronize()
        taken = {"ms": time.perf_counter() - clock, "cpu_ms": time.process_time() - processor}
        best = {key: min(best[key], 1e3 * taken[key] / len(rgb)) for key in best}
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    size = arguments.size
    hand, values = scene(arguments.batch, size, arguments.device)
    topology = edge_faces(hand.faces)

    def ours(vertices: Tensor, colours: Tensor, light: Tensor, camera: Tensor) -> tuple:
        return render_textured(vertices, hand.faces, colours, light, camera, (size, size), topology)

    few = [value[:2] for value in values]  # the reference takes gigabytes for more
    with torch.no_grad():
        alpha = ours(*values)[1]
        soft = soft_render(hand.faces, size)(*few)[1]
    apart = (alpha[:2] - soft).abs().mean().item()
    taken = measure(ours, values, arguments.repeats)
    reference = measure(soft_render(hand.faces, size), few, max(1, arguments.repeats // 2))
    ratio = reference["cpu_ms"] / taken["cpu_ms"]
    print(f"{'':<18}{'ms/image':>10}{'processor':>12}")
    for name, row in (("render_textured", taken), ("soft rasterizer", reference)):
        print(f"{name:<18}{row['ms']:>10.2f}{row['cpu_ms']:>12.2f}")
    print(json.dumps({
        "size": size, "batch": arguments.batch, "threads": torch.get_num_threads(),
        "covered": round((alpha > 0.5).float().mean().item(), 3),
        "alpha_apart": round(apart, 4), "ratio_by_processor_time": round(ratio, 1),
        **{f"ours_{key}": round(value, 2) for key, value in taken.items()},
        **{f"soft_{key}": round(value, 2) for key, value in reference.items()},
    }))  # fmt: skip
    return int(taken["ms"] > GOAL[arguments.device.split(":")[0]])


if __name__ == "__main__":
    sys.exit(main())
