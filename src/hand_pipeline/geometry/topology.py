"""What a triangle mesh's faces say: edges, boundary, normals, subdivision.

Faces are vertex indices, counter-clockwise seen from outside. All functions but `vertex_normals`
and `subdivide` are meant to be called once a mesh, not once a step.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.geometry.joints import BONES
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


class Subdivision(NamedTuple):
    """One subdivision step: `new_vertices = matrix @ vertices`.

    Attributes:
        matrix: sparse COO, coalesced; rows sum to 1. Old vertices come first, then one an edge.
        faces: 4 for each old one, in the same direction; face i of the old mesh became faces
            4 i to 4 i + 3.
    """

    matrix: Tensor
    faces: Int[Tensor, "new_faces 3"]


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


def close_wrist(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "closed_faces 3"]:
    """The faces, and a fan over the one hole that makes the mesh watertight. No new vertices."""
    loop = boundary_loop(faces)
    first = loop[0].expand(len(loop) - 2)
    fan = torch.stack([first, loop[2:], loop[1:-1]], dim=1)
    return torch.cat([faces, fan])


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


def vertex_adjacency(
    faces: Int[Tensor, "faces 3"], num_vertices: int
) -> Bool[Tensor, "vertices vertices"]:
    """Which vertices an edge connects; symmetric, False on the diagonal."""
    adjacency = torch.zeros(num_vertices, num_vertices, dtype=torch.bool, device=faces.device)
    first, second = edges(faces).unbind(1)
    adjacency[first, second] = True
    return adjacency | adjacency.mT


def hand_adjacency() -> Bool[Tensor, "21 21"]:
    """Which of the 21 joints a bone connects, OpenPose order; symmetric, False on the diagonal."""
    adjacency = torch.zeros(21, 21, dtype=torch.bool)
    parents, children = torch.tensor(BONES).unbind(1)
    adjacency[parents, children] = True
    return adjacency | adjacency.mT


def loop_subdivision(faces: Int[Tensor, "faces 3"], num_vertices: int) -> Subdivision:
    """One step of Loop's smooth subdivision (Loop 1987), rims after Biermann et al. 2000.

    Inside, an edge's new vertex is 3/8 of its ends and 1/8 of the two vertices opposite, and an
    old one moves to `(1 - n b) v + b * sum(neighbours)`,
    `b = (5/8 - (3/8 + cos(2 pi / n) / 4)^2) / n`; on the rim 1/2 of the ends, and 3/4 of itself
    with 1/8 of its two rim neighbours.
    """
    ends, sides, opposite = edge_faces(faces)
    rim = sides[:, 1] < 0
    on_rim = torch.zeros(num_vertices, dtype=torch.bool, device=faces.device)
    on_rim[ends[rim].flatten()] = True
    valence = torch.bincount(ends.flatten(), minlength=num_vertices).clamp(min=1).double()
    beta = (5 / 8 - (3 / 8 + torch.cos(2 * torch.pi / valence) / 4) ** 2) / valence
    own = torch.where(on_rim, 0.75, 1 - valence * beta)

    new = num_vertices + torch.arange(len(ends), device=faces.device)
    inner = ~rim
    eighth = torch.full((int(inner.sum()),), 0.125, dtype=own.dtype, device=faces.device)
    every = torch.arange(num_vertices, device=faces.device)
    entries = [(every, every, own)]
    for a, b in ((0, 1), (1, 0)):
        end, other = ends[:, a], ends[:, b]
        entries.append((new, end, torch.where(rim, 0.5, 0.375).double()))
        entries.append((new[inner], opposite[inner, a], eighth))
        share = torch.where(on_rim[end], torch.where(rim, 0.125, 0.0), beta[end])
        entries.append((end, other, share))
    rows, columns, values = (torch.cat(part) for part in zip(*entries))
    kept = values != 0
    matrix = torch.sparse_coo_tensor(
        torch.stack([rows[kept], columns[kept]]),
        values[kept].float(),
        (num_vertices + len(ends), num_vertices),
        check_invariants=True,
    ).coalesce()
    return Subdivision(matrix, _split_faces(faces, ends, num_vertices))


@full_precision
def subdivide(
    matrix: Tensor, values: Float[Tensor, "batch vertices channels"]
) -> Float[Tensor, "batch new_vertices channels"]:
    """Vertices, or anything given at vertices, on the subdivided mesh."""
    batch, _, channels = values.shape
    columns = values.transpose(0, 1).reshape(values.shape[1], batch * channels)
    return torch.sparse.mm(matrix, columns).unflatten(1, (batch, channels)).transpose(0, 1)


def _half_edges(faces: Int[Tensor, "faces 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Three a face: its vertices in ascending order, the face, the vertex opposite."""
    pairs = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    face = torch.arange(len(faces), dtype=faces.dtype, device=faces.device).repeat_interleave(3)
    opposite = faces[:, [2, 0, 1]].reshape(-1)
    return pairs.sort(dim=1).values, face, opposite


def _split_faces(
    faces: Int[Tensor, "faces 3"], ends: Int[Tensor, "edges 2"], num_vertices: int
) -> Int[Tensor, "new_faces 3"]:
    """Each face as its three corners and the middle, `ends` in lexical order."""
    keys = ends[:, 0] * num_vertices + ends[:, 1]
    a, b, c = faces.unbind(1)

    def middle(first: Tensor, second: Tensor) -> Tensor:
        low, high = torch.minimum(first, second), torch.maximum(first, second)
        return num_vertices + torch.searchsorted(keys, low * num_vertices + high)

    ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
    parts = [[a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca]]
    return torch.stack([torch.stack(part, dim=1) for part in parts], dim=1).reshape(-1, 3)
