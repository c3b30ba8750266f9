"""Equivariance in latent space (PeCLR): undo an image's transform on its latent vector."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def undo_view(
    latents: Float[Tensor, "batch latent"],
    matrices: Float[Tensor, "batch 3 3"],
    view_size: tuple[int, int],
    source_size: tuple[int, int],
    rotation: bool = True,
    translation: bool = True,
) -> Float[Tensor, "batch latent"]:
    """Undo a view's translation and rotation on the points that its latent vector holds.

    PeCLR (Spurr et al. 2021, eq. 2 and 3): a unit-length latent is read as `latent / 2` points;
    the view's shift, as a share of its side, is scaled by the range of the points on each axis and
    subtracted; the points are rotated back about their mean; the vector is normalised again. Range
    and mean have no gradient. Scale is not undone, because normalisation removes it.

    Deviation: PeCLR rotates and shifts crops around labelled joints; we take both from the matrix
    that made the view: the angle of the photo's x axis in it, and the place of the photo's centre.

    Args:
        latents: of one view each, x and y alternating.
        matrices: photo pixels to view pixels, without a mirror.
        view_size: height and width, pixels.
        source_size: of the photo, height and width, pixels.
        rotation: undo it.
        translation: undo it; without both it is SimCLR.
    """
    with torch.autocast(latents.device.type, enabled=False):
        points = F.normalize(latents.float(), dim=-1).unflatten(-1, (-1, 2))
        matrices = matrices.float()
        if translation:
            extent = points.detach().amax(1) - points.detach().amin(1)
            shift = _shift(matrices, view_size, source_size)
            points = points - (shift * extent)[:, None]
        if rotation:
            middle = points.detach().mean(1, keepdim=True)
            points = _turn_back(points - middle, matrices) + middle
        return F.normalize(points.flatten(-2), dim=-1)


def _shift(
    matrices: Tensor, view_size: tuple[int, int], source_size: tuple[int, int]
) -> Float[Tensor, "batch 2"]:
    """Place of the photo's centre in the view, from the view's centre, as shares of its sides."""
    places = []
    for axis, side in enumerate(reversed(view_size)):
        row = matrices[:, axis]
        pixels = row[:, 0] * (source_size[1] / 2) + row[:, 1] * (source_size[0] / 2) + row[:, 2]
        places.append(pixels / side - 0.5)
    return torch.stack(places, dim=-1)


def _turn_back(points: Tensor, matrices: Tensor) -> Float[Tensor, "batch points 2"]:
    """Points turned so that the photo's x axis points right again."""
    cos, sin = F.normalize(matrices[:, :2, 0], dim=-1)[:, None].unbind(-1)
    x, y = points.unbind(-1)
    return torch.stack([cos * x + sin * y, cos * y - sin * x], dim=-1)
