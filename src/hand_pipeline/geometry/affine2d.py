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

from hand_pipeline.geometry.precision import full_precision

PaddingMode = Literal["zeros", "reflection", "border"]


def translation(offset: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """Moves points by `offset`, pixels."""
    return _compose(torch.ones_like(offset), offset)


def scaling(factor: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """Multiplies x and y by their factors, about the image's corner."""
    return _compose(factor, torch.zeros_like(factor))


@full_precision
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
    left, top, right, bottom = box.unbind(1)
    factor = torch.stack([width / (right - left), height / (bottom - top)], dim=-1)
    return _compose(factor, -box[:, :2] * factor)


@full_precision
def compose(
    first: Float[Tensor, "*batch 3 3"], *following: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """One map that does `first`, then `following` from left to right.

    In full precision under autocast too, where `b @ a` would be off by pixels.
    """
    for matrix in following:
        first = matrix @ first
    return first


@full_precision
def apply_affine(
    matrix: Float[Tensor, "batch 3 3"], points: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch points 2"]:
    """Points after an affine matrix (its last row is taken to be 0, 0, 1)."""
    return points @ matrix[:, :2, :2].mT + matrix[:, None, :2, 2]


@full_precision
def invert(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Inverse of an affine matrix, in closed form (no host sync); not checked for singularity."""
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack([d, -b, -c, a], dim=-1).unflatten(-1, (2, 2))
    linear = adjugate / (a * d - b * c)[..., None, None]
    return _assemble(linear, -(linear @ matrix[..., :2, 2:])[..., 0])


@full_precision
def sampling_grid(
    inverse: Float[Tensor, "batch 3 3"], size: tuple[int, int], source_size: tuple[int, int]
) -> Float[Tensor, "batch h w 2"]:
    """Where in its source each target pixel's centre lies, for `grid_sample(align_corners=False)`.

    x and y alternate in memory and are made together in one pass, several times faster on a CPU
    than stacking them; elementwise, since a matrix product might run in TF32.

    Args:
        inverse: target pixels to source pixels, one an image.
        size: height and width of the target.
        source_size: height and width of the source.

    Returns:
        x, y: -1 and 1 are the source's edges, whatever its size.
    """
    (height, width), (source_height, source_width) = size, source_size
    rows = torch.arange(height, dtype=inverse.dtype, device=inverse.device)[:, None] + 0.5
    columns = torch.arange(width, dtype=inverse.dtype, device=inverse.device)[:, None] + 0.5
    to_unit = [inverse[:, 0] * (2 / source_width), inverse[:, 1] * (2 / source_height)]
    across, down, start = torch.stack(to_unit, dim=-1)[:, :, None].unbind(1)  # (B, 1, 2) each
    along_row = (across * columns + (start - 1)).flatten(1)[:, None]  # (B, 1, 2 w)
    return torch.addcmul(along_row, rows, down.repeat(1, 1, width)).unflatten(2, (width, 2))


@full_precision
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
    grid = sampling_grid(inverse, size, (height, width)).to(images.dtype)
    warped = F.grid_sample(images, grid, padding_mode=padding_mode, align_corners=False)
    most = max(height / size[0], width / size[1]) * 2
    halvings = min(round(math.log2(most)), int(math.log2(min(height, width))))
    if antialias and halvings > 0:
        level = _mip_level(inverse, halvings)[:, None, None]
        small = _sample_halved(images, grid, padding_mode, level.clamp(min=1), halvings)
        warped = torch.where(level[:, None] > 0, small, warped)
    return warped


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


def _fold_into_image(
    grid: Float[Tensor, "batch h w 2"], source_size: tuple[int, int], padding_mode: PaddingMode
) -> tuple[Float[Tensor, "batch h w 2"], Float[Tensor, "batch h w"] | None]:
    """Bring points outside the image to where their value is, and say how much of it they get.

    Border and zeros need no move here: sampling clamps to the image.
    """
    if padding_mode == "border":
        return grid, None
    if padding_mode == "reflection":
        return 1 - ((grid + 1).remainder(4) - 2).abs(), None
    # A pixel fades out over half a pixel beyond the rim, as bilinear weights against zeros do.
    inside_x, inside_y = (
        ((1 - unit.abs()) * (extent / 2) + 0.5).clamp(0, 1)
        for unit, extent in zip(grid.unbind(-1), reversed(source_size))
    )
    return grid, inside_x * inside_y


def _mip_level(inverse: Float[Tensor, "batch 3 3"], halvings: int) -> Float[Tensor, " batch"]:
    """How often to halve each image: log2 of source pixels a target pixel, rounded."""
    determinant = inverse[:, 0, 0] * inverse[:, 1, 1] - inverse[:, 0, 1] * inverse[:, 1, 0]
    return (0.5 * determinant.abs().clamp(min=1e-12).log2()).round().clamp(0, halvings).detach()


def _sample_halved(
    images: Float[Tensor, "batch channels h w"],
    grid: Float[Tensor, "batch new_h new_w 2"],
    padding_mode: PaddingMode,
    level: Float[Tensor, "batch 1 1"],
    halvings: int,
) -> Float[Tensor, "batch channels new_h new_w"]:
    """`grid_sample` of `images`, from copies halved `level` (1 or more) times.

    The copies lie below one another in one image, so that one sampling serves all levels and the
    host need not wait for the device to learn which ones are needed.
    """
    levels, last = [], images
    for _ in range(halvings):
        last = _halve(last)
        levels.append(last)
    widest = levels[0].shape[-1]
    # Zeros, not empty memory, beside the smaller ones: a weight of 0 times a NaN would be a NaN.
    atlas = torch.cat([F.pad(part, (0, widest - part.shape[-1])) for part in levels], dim=-2)

    height, width = images.shape[-2:]
    grid, weight = _fold_into_image(grid, (height, width), padding_mode)
    shrink = torch.exp2(-level)
    x, y = (grid[..., 0] + 1) * (width / 2 * shrink), (grid[..., 1] + 1) * (height / 2 * shrink)
    top, last_x, last_y = (torch.zeros_like(level) for _ in range(3))
    start = 0
    for i, part in enumerate(levels, start=1):
        chosen = level == i
        top = top.masked_fill(chosen, start)
        # Half a pixel inside, so that bilinear weights never reach the neighbour.
        last_x = last_x.masked_fill(chosen, part.shape[-1] - 0.5)
        last_y = last_y.masked_fill(chosen, part.shape[-2] - 0.5)
        start += part.shape[-2]
    x = torch.minimum(x.clamp(min=0.5), last_x)
    y = torch.minimum(y.clamp(min=0.5), last_y) + top
    in_atlas = torch.stack([x * (2 / atlas.shape[-1]) - 1, y * (2 / atlas.shape[-2]) - 1], dim=-1)
    # The border's pixel beyond it: rounding may carry a point over the atlas's rim.
    small = F.grid_sample(atlas, in_atlas, padding_mode="border", align_corners=False)
    return small if weight is None else small * weight[:, None]


def _halve(
    images: Float[Tensor, "batch channels h w"],
) -> Float[Tensor, "batch channels half_h half_w"]:
    """Means of 2 x 2 pixels; an odd last row or column counts twice.

    Rows first, then columns: on a CPU that takes half the time of `avg_pool2d`.
    """
    odd = (0, images.shape[-1] % 2, 0, images.shape[-2] % 2)
    if any(odd):
        images = F.pad(images, odd, mode="replicate")
    rows = images[..., 0::2, :] + images[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) * 0.25
