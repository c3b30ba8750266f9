"""Smoothness of a mesh: the cotangent Laplacian ('triangle' in S2HAND's code, not in its paper)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_LEAST_AREA = 1e-12  # square metres, twice a face's; keeps cotangents of thin faces finite


def laplacian_loss(
    vertices: Float[Tensor, "batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, ""]:
    """Mean length of `L v`, metres: how far each vertex is from the mean of its neighbours.

    `(L v)_i = sum_j (cot a + cot b) / 2 (v_i - v_j)` over its neighbours, a and b the angles
    opposite of the edge. As in the code, L is that of the first mesh for the whole batch, without
    gradient.

    Args:
        vertices: metres.
        faces: triangles.
    """
    faces = faces.long()
    half_cotangents = _cotangents(vertices[0].detach(), faces) / 2
    total = torch.zeros_like(vertices)
    for corner in range(3):
        one, other = faces[:, (corner + 1) % 3], faces[:, (corner + 2) % 3]
        pull = half_cotangents[:, corner, None] * (vertices[:, one] - vertices[:, other])
        total = total.index_add(1, one, pull).index_add(1, other, -pull)
    return total.norm(dim=-1).mean()


def _cotangents(
    vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "faces 3"]:
    """Cotangent of the angle at each corner."""
    corners = vertices[faces]
    rows = []
    for corner in range(3):
        first = corners[:, (corner + 1) % 3] - corners[:, corner]
        second = corners[:, (corner + 2) % 3] - corners[:, corner]
        area = torch.linalg.cross(first, second, dim=-1).norm(dim=-1)
        rows.append((first * second).sum(-1) / area.clamp(min=_LEAST_AREA))
    return torch.stack(rows, dim=1)
