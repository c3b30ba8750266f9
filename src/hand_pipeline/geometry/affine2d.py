"""2D affine maps of images and of the points in them: 3x3 matrices on columns (x, y, 1).

Pixels: the left and top edge of an image are 0, pixel centres lie at .5. An image warped by a
matrix shows every point exactly where `apply_affine` puts it.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

PaddingMode = Literal["zeros", "reflection", "border"]


def translation(offset: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """Moves points by `offset`, pixels."""
    return _compose(torch.ones_like(offset), offset)


def scaling(factor: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """Multiplies x and y by their factors, about the image's corner."""
    return _compose(factor, torch.zeros_like(factor))


def rotation(
    angle: Float[Tensor, "*batch"], center: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch 3 3"]:
    """Turns by `angle`, radians, about `center`; positive turns +x towards +y, clockwise seen."""
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    offset = center - (linear @ center[..., None])[..., 0]
    return _assemble(linear, offset)


def crop_matrix(
    box: Float[Tensor, "batch 4"], size: int | tuple[int, int]
) -> Float[Tensor, "batch 3 3"]:
    """Maps the box x0, y0, x1, y1, source pixels, onto an image of `size` (side, or h and w)."""
    height, width = (size, size) if isinstance(size, int) else size
    corner, far = box[:, :2], box[:, 2:]
    factor = box.new_tensor([width, height]) / (far - corner)
    return _compose(factor, -corner * factor)


def pixels_to_centred(size: int | tuple[int, int]) -> Float[Tensor, "3 3"]:
    """Maps pixels to centred units, `(px - size / 2) / size`, each axis in [-.5, .5].

    The N of pose-aware alignment (HandMIM, Algorithm 3). `size` is the side, or h and w.
    """
    height, width = (size, size) if isinstance(size, int) else size
    factor = torch.tensor([1 / width, 1 / height])
    return _compose(factor, torch.full((2,), -0.5))


def apply_affine(
    matrix: Float[Tensor, "batch 3 3"], points: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch points 2"]:
    """Points after an affine matrix (its last row is taken to be 0, 0, 1)."""
    return points @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]


def invert(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Inverse of an affine matrix, in closed form (no host sync); not checked for singularity."""
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    linear = adjugate / (a * d - b * c)[..., None, None]
    return _assemble(linear, -(linear @ matrix[..., :2, 2:])[..., 0])


def warp_images(
    images: Float[Tensor, "batch channels h w"],
    matrix: Float[Tensor, "batch 3 3"],
    size: tuple[int, int],
    padding_mode: PaddingMode = "zeros",
    antialias: bool = True,
) -> Float[Tensor, "batch channels new_h new_w"]:
    """Images as seen through affine maps, bilinear.

    Args:
        images: source images.
        matrix: source pixels to target pixels, one an image; invertible.
        size: height and width of the target.
        padding_mode: what lies outside the source: 0, its mirror image, or its border pixels.
        antialias: where an image is scaled down by a factor of at least sqrt(2), sample it from a
            copy halved once or more by averaging, chosen per image so that what is left of the
            factor is below sqrt(2) (a mip pyramid). How often it can be halved follows from the
            two sizes: a whole source onto the target, and a factor 2 beyond that.
    """
    height, width = images.shape[-2:]
    inverse = invert(matrix)
    points = _pixel_centres(size, matrix)
    source = points @ inverse[:, None, :2, :2].mT + inverse[:, None, None, :2, 2]
    source, weight = _fold_into_image(source, width, height, padding_mode)
    if antialias:
        most = max(height / size[0], width / size[1]) * 2
        halvings = max(0, round(math.log2(most)))
        halvings = min(halvings, int(math.log2(min(height, width))))
    else:
        halvings = 0
    atlas, origins, extents = _mip_atlas(images, halvings)
    level = _mip_level(inverse, halvings)
    scale = torch.exp2(-level.to(source.dtype))[:, None, None, None]
    # Half a pixel from the level's rim, so that bilinear weights never reach its neighbour.
    last = images.new_tensor(extents)[level][:, None, None] - 0.5
    source = torch.minimum((source * scale).clamp(min=0.5), last)
    source = source + images.new_tensor(origins)[level][:, None, None]
    whole = images.new_tensor([atlas.shape[-1], atlas.shape[-2]])
    grid = source * (2 / whole) - 1
    warped = F.grid_sample(atlas, grid, padding_mode="border", align_corners=False)
    return warped if weight is None else warped * weight[:, None]


def _compose(
    factor: Float[Tensor, "*batch 2"], offset: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch 3 3"]:
    return _assemble(torch.diag_embed(factor), offset)


def _assemble(
    linear: Float[Tensor, "*batch 2 2"], offset: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch 3 3"]:
    upper = torch.cat([linear, offset[..., None]], dim=-1)
    last = torch.zeros_like(upper[..., :1, :])
    last[..., 2] = 1
    return torch.cat([upper, last], dim=-2)


def _pixel_centres(
    size: tuple[int, int], like: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "1 h w 2"]:
    y = torch.arange(size[0], dtype=like.dtype, device=like.device) + 0.5
    x = torch.arange(size[1], dtype=like.dtype, device=like.device) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]


def _fold_into_image(
    points: Float[Tensor, "batch h w 2"], width: int, height: int, padding_mode: PaddingMode
) -> tuple[Float[Tensor, "batch h w 2"], Float[Tensor, "batch h w"] | None]:
    """Bring points outside the image to where their value is, and say how much of it they get.

    Border and zeros need no move here: the caller clamps to the image.
    """
    extent = points.new_tensor([width, height])
    if padding_mode == "border":
        return points, None
    if padding_mode == "reflection":
        return extent - (points.remainder(2 * extent) - extent).abs(), None
    # A pixel fades out over half a pixel beyond the rim, as bilinear weights against zeros do.
    inside = torch.minimum(points + 0.5, extent + 0.5 - points).clamp(0, 1)
    return points, inside.prod(-1)


def _mip_level(inverse: Float[Tensor, "batch 3 3"], halvings: int) -> Tensor:
    """How often to halve each image: log2 of source pixels a target pixel, rounded."""
    determinant = inverse[:, 0, 0] * inverse[:, 1, 1] - inverse[:, 0, 1] * inverse[:, 1, 0]
    exponent = 0.5 * determinant.abs().clamp(min=1e-12).log2()
    return exponent.round().clamp(0, halvings).long()


def _mip_atlas(
    images: Float[Tensor, "batch channels h w"], halvings: int
) -> tuple[Tensor, list[list[float]], list[list[float]]]:
    """The images, their halves, quarters and so on in one image, so that one sampling serves all.

    The full image is on the left, the smaller ones stand in a column to its right.

    Returns:
        Atlas; left-top corner (x, y) of each level in it; width and height of each level, in its
        own pixels and up to the source's edge (an odd side leaves half a pixel).
    """
    height, width = images.shape[-2:]
    if halvings == 0:
        return images, [[0.0, 0.0]], [[float(width), float(height)]]
    levels = [images]
    for _ in range(halvings):
        last = levels[-1]
        odd = (0, last.shape[-1] % 2, 0, last.shape[-2] % 2)
        levels.append(F.avg_pool2d(F.pad(last, odd, mode="replicate") if any(odd) else last, 2))
    tops = [0, *(sum(x.shape[-2] for x in levels[1:i]) for i in range(1, len(levels)))]
    full_height = max(height, tops[-1] + levels[-1].shape[-2])
    # Zeros, not empty memory: a weight of 0 times a NaN would be a NaN.
    atlas = images.new_zeros(*images.shape[:2], full_height, width + levels[1].shape[-1])
    for i, (level, top) in enumerate(zip(levels, tops)):
        left = 0 if i == 0 else width
        atlas[..., top : top + level.shape[-2], left : left + level.shape[-1]] = level
    origins = [[0.0 if i == 0 else float(width), float(top)] for i, top in enumerate(tops)]
    extents = [[float(x.shape[-1]), float(x.shape[-2])] for x in levels]
    return atlas, origins, extents
