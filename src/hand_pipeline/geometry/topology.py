"""What a triangle mesh's faces say: edges, boundary, normals.

Faces are vertex indices, counter-clockwise seen from outside. All functions but `vertex_normals`
are meant to be called once a mesh, not once a step.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.geometry.precision import full_precision


class EdgeFaces(NamedTuple):
    """Each edge once, and what lies on either side of it.

    Attributes:
        edges: vertex pairs, smaller index first, in lexical order.
        faces: the two faces of the edge, smaller index first; -1 where the mesh ends.
        opposite: vertex of either face that is not on the edge; -1 where the mesh ends.
    """

    edges: Int[Tensor, "edges 2"]
    faces: Int[Tensor, "edges 2"]
    opposite: Int[Tensor, "edges 2"]


def edges(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "edges 2"]:
    """Each edge once: vertex pairs, smaller index first, in lexical order."""
    half, _, _ = _half_edges(faces)
    return torch.unique(half, dim=0)


def edge_faces(faces: Int[Tensor, "faces 3"]) -> EdgeFaces:
    """Edges with the faces on either side.

    Raises:
        ValueError: an edge has more than two faces.
    """
    half, face, opposite = _half_edges(faces)
    unique, inverse, counts = torch.unique(half, dim=0, return_inverse=True, return_counts=True)
    if int(counts.max()) > 2:
        raise ValueError(
            f"expected a manifold mesh, but {int((counts > 2).sum())} edges have more than two "
            "faces. Remove the surplus faces"
        )
    order = torch.sort(inverse, stable=True).indices
    start = counts.cumsum(0) - counts
    rank = torch.arange(len(order), device=faces.device) - start[inverse[order]]
    both = torch.full((2, len(unique), 2), -1, dtype=faces.dtype, device=faces.device)
    both[0, inverse[order], rank] = face[order]
    both[1, inverse[order], rank] = opposite[order]
    return EdgeFaces(unique, both[0], both[1])


def boundary_loop(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, " loop"]:
    """Vertices along the mesh's one hole (a hand's wrist), in the direction its faces run.

    Starts at the smallest index.

    Raises:
        ValueError: the mesh is closed, or has more than one hole.
    """
    directed = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    present = {(a, b) for a, b in directed.tolist()}
    following = {a: b for a, b in present if (b, a) not in present}
    if not following:
        raise ValueError("expected a mesh with one hole, but it is closed")
    loop = [min(following)]
    while (vertex := following[loop[-1]]) != loop[0]:
        loop.append(vertex)
    if len(loop) != len(following):
        raise ValueError(
            f"expected a mesh with one hole, but only {len(loop)} of its {len(following)} rim "
            "edges lie on the first one"
        )
    return torch.tensor(loop, dtype=faces.dtype, device=faces.device)


@full_precision
def vertex_normals(
    vertices: Float[Tensor, "batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "batch vertices 3"]:
    """Unit outward normals: the mean of the faces' normals, weighted by area."""
    corners = vertices[:, faces.reshape(-1)].unflatten(1, (-1, 3))
    first, second, third = corners.unbind(2)
    normals = torch.linalg.cross(second - first, third - first, dim=-1)
    summed = torch.zeros_like(vertices)
    for corner in range(3):
        summed = summed.index_add(1, faces[:, corner], normals)
    return F.normalize(summed, dim=-1, eps=1e-20)


def _half_edges(faces: Int[Tensor, "faces 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Three a face: its vertices in ascending order, the face, the vertex opposite."""
    pairs = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    face = torch.arange(len(faces), dtype=faces.dtype, device=faces.device).repeat_interleave(3)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    return pairs.sort(dim=1).values, face, opposite
