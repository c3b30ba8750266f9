"""Pose-aware alignment: map the key points of a latent vector back to the photo's frame."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.affine2d import invert

Coordinates = Literal["centred", "symmetric", "corner", "pixels"]


def pose_aware_alignment(
    latents: Float[Tensor, "batch latent"],
    matrices: Float[Tensor, "batch 3 3"],
    view_size: tuple[int, int],
    source_size: tuple[int, int],
    coordinates: Coordinates = "centred",
) -> Float[Tensor, "batch latent"]:
    """Undo a view's warp on the pseudo key points a latent vector holds (HandMIM eq. 4).

    The vector is read as x, y of `latent / 2` points in units of the view, and each is mapped by
    N_source T^-1 N_view^-1, with T the matrix that made the view and N from pixels to units. In
    centred units differences are of the order of DINO's cosines, so its temperatures carry over.

    Deviation: eq. 3 rotates about the view's corner and has one scale for both axes; we invert the
    photo's actual transform, which can be any affine one.

    Args:
        latents: of one view each, x and y alternating (Algorithm 3's `reshape(-1, 2)`).
        matrices: photo pixels to view pixels.
        view_size: height and width, pixels.
        source_size: of the photo, height and width, pixels.
        coordinates: see `HandMIMConfig.coordinates`.
    """
    with torch.autocast(latents.device.type, enabled=False):  # bfloat16 is too coarse for pixels
        points = latents.float().unflatten(-1, (-1, 2))
        inverse = invert(matrices.float())
        view_scale, view_zero = _units(view_size, coordinates)
        source_scale, source_zero = _units(source_size, coordinates)
        x = points[..., 0] / view_scale[0] + view_zero[0]
        y = points[..., 1] / view_scale[1] + view_zero[1]
        aligned = []
        for axis in range(2):
            # Written out, because TF32 matrix products are too coarse as well.
            turned = inverse[:, axis, 0, None] * x + inverse[:, axis, 1, None] * y
            pixels = turned + inverse[:, axis, 2, None]
            aligned.append((pixels - source_zero[axis]) * source_scale[axis])
        return torch.stack(aligned, dim=-1).flatten(-2)


def to_pixels(
    latents: Float[Tensor, "batch latent"], size: tuple[int, int], coordinates: Coordinates
) -> Float[Tensor, "batch points 2"]:
    """Aligned key points as pixels x, y of the photo: the inverse of its units."""
    scale, zero = _units(size, coordinates)
    points = latents.float().unflatten(-1, (-1, 2))
    return points / points.new_tensor(scale) + points.new_tensor(zero)


def between_views(
    matrices: Float[Tensor, "2 batch 3 3"],
) -> Float[Tensor, "2 batch 3 3"]:
    """Matrices from the other view's pixels to each view's, instead of from the photo's.

    Given these, `pose_aware_alignment` maps a view's key points into the other view.
    """
    with torch.autocast(matrices.device.type, enabled=False):
        back = invert(matrices.flip(0).float())
        return (matrices.float()[..., :, :, None] * back[..., None, :, :]).sum(-2)


def _units(
    size: tuple[int, int], coordinates: Coordinates
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Scale and zero point, x and y, of (px - zero) * scale."""
    height, width = size
    middle = (width / 2, height / 2)
    if coordinates == "pixels":
        return (1.0, 1.0), middle
    if coordinates == "corner":
        return (1 / width, 1 / height), (0.0, 0.0)
    times = 2.0 if coordinates == "symmetric" else 1.0
    return (times / width, times / height), middle
