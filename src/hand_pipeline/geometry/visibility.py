"""Which face of a mesh every pixel sees: three backends that agree on every pixel.

All follow one rule. A pixel belongs to a face if its centre lies inside or on the border of the
projected triangle (edge functions in float64, exactly antisymmetric, so that no pixel falls between
two neighbours); the face with the smallest depth, rounded to float32, wins; of equal depths the
face with the lower index. Faces are seen from both sides. A face with a vertex that is not beyond
`NEAR` is left out whole (no clipping), as are faces without area and, on other devices than the
CPU, faces with a vertex that is not finite (looking for them there would stall the device).
"""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

Backend = Literal["auto", "fragments", "numba", "dense"]
NEAR = 1e-3  # metres
MIN_AREA = 1e-9  # twice the area, in square pixels
_EMPTY = 2**63 - 1
MAX_FRAGMENTS = {"cpu": 2**20, "cuda": 2**24}  # about 150 bytes each


def lists_are_cheap(device: torch.device) -> bool:
    """Whether to list the pixels of interest; elsewhere than on the CPU that stalls the device."""
    return device.type == "cpu"


def to_pixels(
    vertices: Float[Tensor, "batch vertices 3"], intrinsics: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch vertices 2"]:
    """Projection that stays finite, without gradient in depth, for points no face is drawn from."""
    homogeneous = vertices @ intrinsics.transpose(1, 2)
    return homogeneous[..., :2] / vertices[..., 2:].clamp(min=NEAR)


def cross_2d(a: Float[Tensor, "*#n 2"], b: Float[Tensor, "*#n 2"]) -> Float[Tensor, "..."]:
    """Twice the signed area between two vectors of the plane."""
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def pixel_centres(pixel: Int[Tensor, " n"], shape: torch.Size) -> Float[Tensor, "n 2"]:
    """Place (x, y) of flat pixels of a batch of images: batch, height, width."""
    _, height, width = shape
    row = torch.div(pixel, width, rounding_mode="floor") % height
    return torch.stack([pixel % width, row], -1) + 0.5


class _Triangles(NamedTuple):
    """Projected faces of a whole batch, flattened; N = batch * faces.

    Attributes:
        edges: coefficients of the edge functions opposite to the three corners: E_x, E_y, E_1.
        gains: inverse depth of a pixel is the sum over corners of edge function times gain.
        low: first column and row of the triangle's box.
        size: columns and rows of the box; zero if nothing is to be drawn.
    """

    edges: Float[Tensor, "n 3 3"]
    gains: Float[Tensor, "n 3"]
    low: Int[Tensor, "n 2"]
    size: Int[Tensor, "n 2"]


@torch.no_grad()
def rasterize(
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    image_size: tuple[int, int],
    backend: Backend = "auto",
) -> Int[Tensor, "batch height width"]:
    """Index of the face that each pixel sees, or -1. Has no gradient.

    Args:
        vertices: camera frame, metres.
        intrinsics: to pixels whose centres are at .5.
        image_size: height, width.
        backend: "auto" is "numba" on the CPU and "fragments" elsewhere; "dense" (every face against
            every pixel) is for tests and benchmarks only. "fragments" waits for the device once,
            to learn how many fragments there are.

    Raises:
        ValueError: impossible image size, faces that name missing vertices or (both only looked for
            on the CPU) vertices that are not finite; unknown backend.
    """
    _check(vertices, faces, image_size, backend)
    if backend == "auto":
        backend = "numba" if vertices.device.type == "cpu" else "fragments"
    points, depths = _project(vertices, intrinsics)
    if backend == "numba":
        from hand_pipeline.geometry.zbuffer import fill_zbuffers  # loads the compiler

        found, _ = fill_zbuffers(
            points.cpu().numpy(), depths.cpu().numpy(), faces.long().cpu().numpy(),
            image_size, NEAR, MIN_AREA, torch.get_num_threads(),
        )  # fmt: skip
        return torch.from_numpy(found).to(vertices.device).long()
    triangles = _set_up(points, depths, faces.long(), image_size)
    nearest = _nearest_of_fragments if backend == "fragments" else _nearest_of_all
    keys = nearest(triangles, len(vertices), image_size)
    return torch.where(keys == _EMPTY, -1, keys & 0xFFFFFFFF).view(-1, *image_size)


def _check(vertices: Tensor, faces: Tensor, image_size: tuple[int, int], backend: Backend) -> None:
    if min(image_size) < 1:
        raise ValueError(f"image_size must be (height, width) of at least 1, got {image_size}")
    if backend not in get_args(Backend):
        raise ValueError(f"backend must be one of {get_args(Backend)}, got {backend!r}")
    if vertices.device.type != "cpu":
        return
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[1]:
        raise ValueError(
            f"faces name vertices {int(faces.min())} to {int(faces.max())}, "
            f"but there are vertices 0 to {vertices.shape[1] - 1}"
        )
    if not bool(torch.isfinite(vertices).all()):
        raise ValueError("vertices must be finite, got NaN or infinity: look at what made them")


def _project(
    vertices: Float[Tensor, "batch vertices 3"], intrinsics: Float[Tensor, "batch 3 3"]
) -> tuple[Float[Tensor, "batch vertices 2"], Float[Tensor, "batch vertices"]]:
    """Pixels and depths in float64; vertices that are not beyond NEAR get arbitrary pixels."""
    depths = vertices[..., 2].double()
    homogeneous = vertices.double() @ intrinsics.double().transpose(1, 2)
    return homogeneous[..., :2] / depths.clamp(min=NEAR)[..., None], depths


def _set_up(
    points: Float[Tensor, "batch vertices 2"],
    depths: Float[Tensor, "batch vertices"],
    faces: Int[Tensor, "faces 3"],
    image_size: tuple[int, int],
) -> _Triangles:
    height, width = image_size
    corners = points[:, faces].flatten(0, 1)
    z = depths[:, faces].flatten(0, 1)
    x, y = corners.unbind(-1)
    (ax, bx, cx), (ay, by, cy) = x.unbind(-1), y.unbind(-1)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    kept = (z > NEAR).all(-1) & area.isfinite() & (area.abs() > MIN_AREA)
    sign = torch.where(area > 0, 1.0, -1.0).to(area)
    u_x, u_y = torch.stack([bx, cx, ax], -1), torch.stack([by, cy, ay], -1)
    v_x, v_y = torch.stack([cx, ax, bx], -1), torch.stack([cy, ay, by], -1)
    edges = torch.stack([u_y - v_y, v_x - u_x, u_x * v_y - v_x * u_y], -1) * sign[:, None, None]
    gains = 1.0 / (z * (area * sign)[:, None])
    limit = corners.new_tensor([width, height])
    low = torch.ceil((corners.amin(1) - 0.5).clamp(min=0).minimum(limit))
    high = torch.floor((corners.amax(1) - 0.5).minimum(limit - 1).clamp(min=-1))
    size = torch.where(kept[:, None], (high - low + 1).clamp(min=0), 0.0)
    low = torch.where(kept[:, None], low, 0.0)
    return _Triangles(edges, gains, low.long(), size.long())


def list_fragments(
    low: Int[Tensor, "n 2"], size: Int[Tensor, "n 2"], first: int, last: int, total: int | None
) -> tuple[Int[Tensor, " fragments"], Int[Tensor, " fragments"], Int[Tensor, " fragments"]]:
    """Every pixel of the boxes `first` to `last` - 1: index of the box, column, row.

    Args:
        low: first column and row of each box. size: its columns and rows.
        total: number of pixels if known; asking the device costs a wait.
    """
    counts = size[first:last].prod(-1)
    starts = counts.cumsum(0) - counts
    box = torch.repeat_interleave(counts, output_size=total)
    offset = torch.arange(len(box), device=box.device) - starts[box]
    box = box + first
    columns = size[box, 0]
    row = torch.div(offset, columns, rounding_mode="floor")
    return box, low[box, 0] + offset - row * columns, low[box, 1] + row


def chunks(counts: Int[Tensor, " n"], budget: int) -> list[tuple[int, int, int]]:
    """Ranges of triangles with about `budget` fragments each: first, last, number of fragments."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    if total <= budget:
        return [(0, len(counts), total)]
    targets = torch.arange(budget, total + budget, budget, device=ends.device)
    cuts = torch.searchsorted(ends, targets.clamp(max=total)) + 1
    cuts[-1] = len(counts)
    cuts = cuts.unique()
    upto = ends[cuts - 1].tolist()
    bounds = [0, *cuts.tolist()]
    sizes = [b - a for a, b in zip([0, *upto], upto)]
    return list(zip(bounds, bounds[1:], sizes))


def _nearest_of_fragments(
    triangles: _Triangles, batch: int, image_size: tuple[int, int]
) -> Int[Tensor, " pixels"]:
    """Smallest key (depth bits, face) of each pixel, from the pixels of the triangles' boxes."""
    height, width = image_size
    device = triangles.edges.device
    keys = torch.full((batch * height * width,), _EMPTY, dtype=torch.long, device=device)
    faces = len(triangles.edges) // max(batch, 1)
    budget = MAX_FRAGMENTS.get(device.type, 2**20)
    for first, last, total in chunks(triangles.size.prod(-1), budget):
        triangle, column, row = list_fragments(triangles.low, triangles.size, first, last, total)
        x, y = column + 0.5, row + 0.5
        key = _keys(triangles.edges[triangle], triangles.gains[triangle], x, y, triangle % faces)
        image = torch.div(triangle, faces, rounding_mode="floor")
        keys.scatter_reduce_(0, (image * height + row) * width + column, key, "amin")
    return keys


def _nearest_of_all(
    triangles: _Triangles, batch: int, image_size: tuple[int, int], chunk: int = 64
) -> Int[Tensor, " pixels"]:
    """Smallest key of each pixel, from every triangle against every pixel."""
    height, width = image_size
    device = triangles.edges.device
    y, x = (torch.stack(torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )).flatten(1) + 0.5).double()  # fmt: skip
    keys = torch.full((batch, height * width), _EMPTY, dtype=torch.long, device=device)
    faces = len(triangles.edges) // max(batch, 1)
    for image in range(batch):
        for first in range(0, faces, chunk):
            chosen = slice(image * faces + first, image * faces + min(first + chunk, faces))
            index = torch.arange(first, min(first + chunk, faces), device=device)[:, None]
            edges, gains = triangles.edges[chosen, None], triangles.gains[chosen, None]
            drawn = (triangles.size[chosen].prod(-1) > 0)[:, None]
            key = torch.where(drawn, _keys(edges, gains, x, y, index), _EMPTY).amin(0)
            keys[image] = torch.minimum(keys[image], key)
    return keys.flatten()


def _keys(edges: Tensor, gains: Tensor, x: Tensor, y: Tensor, face: Tensor) -> Tensor:
    """Depth and face of fragments in one number to compare; `_EMPTY` outside the triangle.

    The bits of positive floats sort like the floats, so the depth's bits go above the face's index.
    """
    p, q, r = (
        edges[..., corner, 0] * x + (edges[..., corner, 1] * y + edges[..., corner, 2])
        for corner in range(3)
    )
    depth = 1.0 / (p * gains[..., 0] + q * gains[..., 1] + r * gains[..., 2])
    inside = (p >= 0) & (q >= 0) & (r >= 0)
    bits = depth.float().view(torch.int32).long()
    return torch.where(inside, (bits << 32) + face, _EMPTY)
