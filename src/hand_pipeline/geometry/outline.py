"""Where a rendered mesh ends: the outline edge nearest to every pixel within the ramp around it.

An edge may bound the image of a mesh if its two faces are seen from different sides, or if only
one of them is drawn (the open wrist). Many such edges lie hidden behind the mesh or across it. A
pixel beside the mesh is always nearest to an edge that truly bounds it, and that shows which parts
of the edges do: where a point of an edge lies on the outline, some pixel beside the mesh is about
as near to that point as to its nearest edge; where it does not, all of them are nearer to others.
Pixels on the mesh take the edge that is nearest when hidden points count as farther away.
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
    pixel_centres,
)

RAMP = 1.0  # pixels on either side of the outline over which the alpha goes from 0 to 1
_REACH = 1.5  # pixels around an edge in which pixels beside the mesh judge it
_SLACK = 0.15  # pixels; so much farther than the nearest edge may be a point of the outline itself
_STEEP = 4.0  # how much farther away a hidden point counts, a pixel of excess over the slack
_EMPTY = 2**63 - 1


class NearOutline(NamedTuple):
    """Pixels within the ramp and the outline edge nearest to each.

    Where listing them would stall the device, all pixels, with `valid` False for the others.

    Attributes:
        pixel: flat index (image, row, column), each at most once.
        edge: index into `image` and `number`.
        valid: whether the pixel lies within the ramp.
        judge: flat index of a pixel beside the mesh that says whether the nearest point of the
            edge is part of the outline, and in `judge_edge` the edge nearest to that one.
        judged: whether there is such a pixel; not for pixels beside the mesh themselves.
        image: image of each edge that may bound a mesh.
        number: its row of `EdgeFaces.edges`.
    """

    pixel: Int[Tensor, " pixels"]
    edge: Int[Tensor, " pixels"]
    valid: Bool[Tensor, " pixels"]
    judge: Int[Tensor, " pixels"]
    judge_edge: Int[Tensor, " pixels"]
    judged: Bool[Tensor, " pixels"]
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
    pairs = len(near.edge)
    flat = mask.flatten()
    inside = flat[near.pixel]
    distance = near.squared.sqrt()
    clearest = _first_of_pixels(torch.where(inside, torch.inf, distance), near.pixel, len(flat))
    excess, judge = _excess(near, inside, segments, mask, clearest)
    judged = inside & (excess < torch.inf)
    far = distance + torch.where(inside, _STEEP * (excess - _SLACK).clamp(min=0), 0.0)
    first = _first_of_pixels(torch.where(far < RAMP, far, torch.inf), near.pixel, len(flat))
    pixel = torch.arange(len(flat), device=mask.device)
    if lists_are_cheap(mask.device):
        pixel = (first < pairs).nonzero()[:, 0]
    valid = first[pixel] < pairs
    if pairs == 0:
        none = torch.zeros_like(pixel)
        return NearOutline(pixel, none, valid, none, none, valid, image, number)
    chosen = torch.where(valid, first[pixel], 0)
    judge_pair = clearest[judge[chosen]]
    judged = judged[chosen] & (judge_pair < pairs) & valid
    judge_edge = near.edge[torch.where(judged, judge_pair, 0)]
    return NearOutline(
        pixel, near.edge[chosen], valid, judge[chosen], judge_edge, judged, image, number
    )


def outline_alpha(
    near: NearOutline,
    mask: Bool[Tensor, "batch height width"],
    points: Float[Tensor, "batch vertices 2"],
    topology: EdgeFaces,
) -> tuple[Float[Tensor, " pixels"], Float[Tensor, " pixels"]]:
    """Alpha of the pixels near the outline, and how far along its edge each one's nearest point is.

    Args:
        near: pixels near the outline. mask: pixels that see the mesh. points: vertices, pixels.
    """
    places = points.flatten(0, 1)

    def segments(edge: Tensor) -> Tensor:
        ends = topology.edges[near.number[edge]] + (near.image[edge] * points.shape[1])[:, None]
        return places.index_select(0, ends.flatten()).unflatten(0, (-1, 2))

    own = segments(near.edge)
    squared, along = closest_point(own, pixel_centres(near.pixel, mask.shape).to(points))
    judge = pixel_centres(near.judge, mask.shape).to(points)
    point = torch.lerp(own[:, 0], own[:, 1], along[:, None])
    clear, _ = closest_point(segments(near.judge_edge), judge)
    excess = _root(((point - judge) ** 2).sum(-1)) - _root(clear) - _SLACK
    distance = _root(torch.where(near.valid, squared, RAMP**2))
    distance = distance + torch.where(near.judged, _STEEP * excess.clamp(min=0), 0.0)
    inside = mask.flatten()[near.pixel]
    ramp = 0.5 + torch.where(inside, 0.5 / RAMP, -0.5 / RAMP) * distance.clamp(max=RAMP)
    return torch.where(near.valid, ramp, inside.to(ramp)), along


def _root(squared: Tensor) -> Tensor:
    """Square root with a finite gradient everywhere."""
    return torch.sqrt(squared + 1e-12)


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
    """All pairs of a segment and a pixel of the band that may be within reach."""
    _, height, width = band.shape
    limit = segments.new_tensor([width, height])
    low = torch.ceil((segments.amin(1) - _REACH - 0.5).clamp(min=0).minimum(limit))
    high = torch.floor((segments.amax(1) + _REACH - 0.5).minimum(limit - 1).clamp(min=-1))
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
            chosen = kept.nonzero()[:, 0]
            edge, column, row, pixel = (x[chosen] for x in (edge, column, row, pixel))
        centre = torch.stack([column, row], -1).to(segments) + 0.5
        squared, _ = closest_point(segments.index_select(0, edge), centre)
        within = squared < _REACH**2
        if shorten:
            chosen = within.nonzero()[:, 0]
            edge, pixel, squared = edge[chosen], pixel[chosen], squared[chosen]
        else:
            squared = torch.where(kept & within, squared, torch.inf)
        parts.append(_Near(edge, pixel, squared))
    return _Near(*(torch.cat(part) for part in zip(*parts)))


def _first_of_pixels(distance: Tensor, pixel: Tensor, pixels: int) -> Int[Tensor, " pixels"]:
    """Index of the pair of least distance at each pixel; as many as there are pairs if none."""
    order = torch.arange(len(distance), device=distance.device)
    bits = distance.float().view(torch.int32).long() << 32
    keys = torch.full((pixels,), _EMPTY, dtype=torch.long, device=distance.device)
    keys.scatter_reduce_(0, pixel, torch.where(distance < torch.inf, bits + order, _EMPTY), "amin")
    return torch.where(keys == _EMPTY, len(order), keys & 0xFFFFFFFF)


def _excess(
    near: _Near, inside: Tensor, segments: Tensor, mask: Tensor, clearest: Tensor
) -> tuple[Float[Tensor, " pairs"], Int[Tensor, " pairs"]]:
    """Pixels by which an edge's point nearest to a pixel on the mesh misses the outline.

    For each of the 3 x 3 pixels around that point that lie beside the mesh: how much farther it is
    than the edge nearest to them (`clearest`). The least of these counts, infinity where there are
    none; and which pixel gave it.
    """
    height, width = mask.shape[1:]
    reach = torch.cat([near.squared.sqrt(), near.squared.new_full((1,), torch.inf)])
    clearance = reach[clearest]
    judged = torch.arange(len(inside), device=mask.device)
    if lists_are_cheap(mask.device):
        judged = inside.nonzero()[:, 0]
    pixel, ends = near.pixel[judged], segments.index_select(0, near.edge[judged])
    first = torch.div(pixel, width * height, rounding_mode="floor") * (height * width)
    _, along = closest_point(ends, pixel_centres(pixel, mask.shape).to(ends))
    point = torch.lerp(ends[:, 0], ends[:, 1], along[:, None])
    limit = point.new_tensor([width - 1, height - 1])
    least, judge = torch.full_like(along, torch.inf), torch.zeros_like(pixel)
    for step in torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2)).tolist():
        place = (point.floor() + point.new_tensor(step)).clamp(min=0).minimum(limit)
        column, row = place.long().unbind(-1)
        beside = first + row * width + column
        clear = clearance[beside]
        farther = torch.where(clear < torch.inf, (point - place - 0.5).norm(dim=-1) - clear, clear)
        judge = torch.where(farther < least, beside, judge)
        least = torch.minimum(farther, least)
    return (
        torch.zeros_like(near.squared).index_copy(0, judged, least),
        torch.zeros_like(near.pixel).index_copy(0, judged, judge),
    )
