"""Where a rendered mesh ends: the outline edge nearest to every pixel within the ramp around it.

An edge may bound the picture of a mesh if its two faces are seen from different sides, or if only
one of them is drawn (the open wrist). Many such edges lie hidden behind the mesh or across it. A
pixel beside the mesh is always nearest to an edge that truly bounds it; so edges that are nearest
(to a quarter of a pixel) to some pixel beside the mesh are the outline, and only they are offered
to the pixels on the mesh.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hand_pipeline.geometry.topology import EdgeFaces
from hand_pipeline.geometry.visibility import (
    MAX_FRAGMENTS,
    NEAR,
    chunks,
    cross_2d,
    list_fragments,
    lists_are_cheap,
)

RAMP = 1.0  # pixels on either side of the outline over which the alpha goes from 0 to 1
_SLACK = 0.25  # pixels that an outline edge may be farther from a pixel than the nearest edge
_EMPTY = 2**63 - 1


class NearOutline(NamedTuple):
    """Pixels within the ramp and the outline edge nearest to each.

    Where listing them would stall the device, all pixels, with `valid` False for the others.

    Attributes:
        pixel: flat index (image, row, column), each at most once.
        edge: index into `image` and `number`.
        valid: whether the pixel lies within the ramp.
        image: image of each edge that may bound a mesh.
        number: its row of `EdgeFaces.edges`.
    """

    pixel: Int[Tensor, " pixels"]
    edge: Int[Tensor, " pixels"]
    valid: Bool[Tensor, " pixels"]
    image: Int[Tensor, " edges"]
    number: Int[Tensor, " edges"]


class _Near(NamedTuple):
    """Pairs of an edge and a pixel that may be within reach of each other."""

    edge: Int[Tensor, " n"]
    pixel: Int[Tensor, " n"]
    squared: Float[Tensor, " n"]


@torch.no_grad()
def nearest_outline(
    mask: Bool[Tensor, "batch height width"],
    points: Float[Tensor, "batch vertices 2"],
    depths: Float[Tensor, "batch vertices"],
    faces: Int[Tensor, "faces 3"],
    topology: EdgeFaces,
) -> NearOutline:
    """The outline edge nearest to each pixel that is within `RAMP` of one. Has no gradient.

    Waits for the device once, to learn how many pairs of pixels and edges there are.

    Args:
        mask: pixels that see the mesh.
        points: projected vertices, pixels.
        depths: metres.
        topology: `edge_faces(faces)`.
    """
    turns = _turning_edges(points, depths, faces, topology)
    if lists_are_cheap(mask.device):
        image, number = turns.nonzero(as_tuple=True)
        offered = torch.ones_like(image, dtype=torch.bool)
    else:
        image = torch.arange(len(turns), device=mask.device).repeat_interleave(turns.shape[1])
        number = torch.arange(turns.shape[1], device=mask.device).repeat(len(turns))
        offered = turns.flatten()
    ends = topology.edges[number] + (image * points.shape[1])[:, None]
    segments = points.flatten(0, 1)[ends]
    near = _pairs_near(segments, image, offered, _border_band(mask))
    flat = mask.flatten()
    inside = flat[near.pixel]
    bounding = _bounding_edges(near, inside, len(image), len(flat))
    allowed = (near.squared < RAMP**2) & (~inside | bounding[near.edge])
    best = torch.full((len(flat),), _EMPTY, dtype=torch.long, device=mask.device)
    bits = near.squared.float().view(torch.int32).long() << 32
    best.scatter_reduce_(0, near.pixel, torch.where(allowed, bits + near.edge, _EMPTY), "amin")
    valid = best != _EMPTY
    pixel = torch.arange(len(flat), device=mask.device)
    if lists_are_cheap(mask.device):
        pixel = valid.nonzero()[:, 0]
        best, valid = best[pixel], valid[pixel]
    edge = torch.where(valid, best & 0xFFFFFFFF, 0)
    return NearOutline(pixel, edge, valid, image, number)


def closest_point(
    segments: Float[Tensor, "n 2 2"], points: Float[Tensor, "n 2"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Squared distance of points from segments (two ends each), and how far along, 0 to 1."""
    start, direction = segments[:, 0], segments[:, 1] - segments[:, 0]
    along = ((points - start) * direction).sum(-1) / ((direction**2).sum(-1) + 1e-12)
    along = along.clamp(0, 1)
    nearest = start + along[:, None] * direction
    return ((nearest - points) ** 2).sum(-1), along


def _turning_edges(
    points: Tensor, depths: Tensor, faces: Tensor, topology: EdgeFaces
) -> Bool[Tensor, "batch edges"]:
    """Edges of one drawn face, or of two that are seen from different sides."""
    corners = points[:, faces]
    front = cross_2d(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]) > 0
    drawn = (depths[:, faces] > NEAR).all(-1)
    one, other = topology.faces.unbind(1)
    drawn_other = drawn[:, other.clamp(min=0)] & (other >= 0)
    differ = front[:, one] != front[:, other.clamp(min=0)]
    return torch.where(drawn[:, one] & drawn_other, differ, drawn[:, one] != drawn_other)


def _border_band(mask: Tensor) -> Tensor:
    """Pixels within two pixels of a change in the mask."""
    return _grown(mask) & _grown(~mask)


def _grown(mask: Tensor) -> Tensor:
    """True within two pixels of a true pixel, diagonals included."""
    for axis in (1, 2):
        size = mask.shape[axis] - 1
        for _ in range(2):
            wider = mask.clone()
            wider.narrow(axis, 1, size).logical_or_(mask.narrow(axis, 0, size))
            wider.narrow(axis, 0, size).logical_or_(mask.narrow(axis, 1, size))
            mask = wider
    return mask


def _pairs_near(segments: Tensor, image: Tensor, offered: Tensor, band: Tensor) -> _Near:
    """All pairs of a segment and a pixel of the band that may be within the ramp and its slack."""
    _, height, width = band.shape
    limit = segments.new_tensor([width, height])
    reach = RAMP + _SLACK
    low = torch.ceil((segments.amin(1) - reach - 0.5).clamp(min=0).minimum(limit))
    high = torch.floor((segments.amax(1) + reach - 0.5).minimum(limit - 1).clamp(min=-1))
    size = torch.where(offered[:, None], (high - low + 1).clamp(min=0), 0.0).long()
    low, in_band = low.long(), band.flatten()
    parts = []
    pieces = chunks(size.prod(-1), MAX_FRAGMENTS.get(band.device.type, 2**20))
    shorten = lists_are_cheap(band.device) or len(pieces) > 1
    for first, last, total in pieces:
        edge, column, row = list_fragments(low, size, first, last, total)
        pixel = (image[edge] * height + row) * width + column
        kept = in_band[pixel]
        if shorten:
            edge, column, row, pixel = (x[kept] for x in (edge, column, row, pixel))
        centre = torch.stack([column, row], -1).to(segments) + 0.5
        squared, _ = closest_point(segments[edge], centre)
        if shorten:
            kept = squared < reach**2
            edge, pixel, squared = edge[kept], pixel[kept], squared[kept]
        else:
            squared = torch.where(kept, squared, torch.inf)
        parts.append(_Near(edge, pixel, squared))
    return _Near(*(torch.cat(part) for part in zip(*parts)))


def _bounding_edges(near: _Near, inside: Tensor, edges: int, pixels: int) -> Bool[Tensor, " edges"]:
    """Edges that are nearest, or nearly so, to some pixel beside the mesh."""
    distance = torch.where(inside, torch.inf, near.squared).sqrt()
    nearest = distance.new_full((pixels,), torch.inf)
    nearest.scatter_reduce_(0, near.pixel, distance, "amin")
    bounds = (distance <= nearest[near.pixel] + _SLACK) & (distance < torch.inf)
    found = torch.zeros(edges, dtype=torch.int32, device=inside.device)
    return found.scatter_reduce_(0, near.edge, bounds.int(), "amax") > 0
