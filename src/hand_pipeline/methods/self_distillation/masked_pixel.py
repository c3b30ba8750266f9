"""Reconstruction of hidden pixels."""

from jaxtyping import Bool, Float
from torch import Tensor


def patches_to_pixels(
    mask: Bool[Tensor, "batch patches"], patch_size: int
) -> Bool[Tensor, "batch 1 height width"]:
    """A square grid's patch mask as a pixel mask."""
    grid = round(mask.shape[1] ** 0.5)
    cells = mask.unflatten(1, (grid, grid))
    return cells.repeat_interleave(patch_size, 1).repeat_interleave(patch_size, 2)[:, None]


def masked_pixel_loss(
    predicted: Float[Tensor, "batch channels height width"],
    target: Float[Tensor, "batch channels height width"],
    counted: Bool[Tensor, "batch 1 height width"],
) -> Float[Tensor, ""]:
    """Mean absolute difference over the pixels that count (HandMIM eq. 9), 0 if none does.

    Args:
        predicted: the decoder's output.
        target: the view the student saw before masking, in the same units.
        counted: True where a pixel is hidden from the student and lies inside the photo.
    """
    difference = (predicted.float() - target.float()).abs().mean(1, keepdim=True)
    return (difference * counted).sum() / counted.sum().clamp(min=1)
