"""How far a rendered hand is from the photo (S2HAND, Chen et al., CVPR 2021, eqs. 5 to 7).

Images are RGB, 0 to 1. `region` is the mask of the pixels that count: the render's, without
gradient.
"""

import torch
from jaxtyping import Bool, Float
from kornia.metrics import ssim
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.losses.reduction import weighted_mean

WINDOW = 11  # px; Gaussian of 1.5 px


def sample_confidence(
    confidence: Float[Tensor, "batch 21"], least: float | None
) -> Float[Tensor, " batch"]:
    """C_b: weight of an image in the colour losses, the mean confidence of its joints.

    Deviation: the paper sums confidences; the normalisation of the losses cancels the factor 21.

    Args:
        confidence: of the joints, 0 to 1.
        least: images with a joint at or below it get 0 (S2HAND's code on FreiHAND: 0.1), because
            undetected joints are mostly occluded; None: no threshold.
    """
    mean = confidence.mean(1)
    if least is None:
        return mean
    return mean.where(confidence.amin(1) > least, mean.new_zeros(()))


def pixel_loss(
    rendered: Float[Tensor, "batch 3 height width"],
    photo: Float[Tensor, "batch 3 height width"],
    region: Bool[Tensor, "batch height width"],
    confidence: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean absolute colour difference over each image's region, weighted by C_b^2 (eq. 5, E_pixel).

    0 if every confidence is 0; an image with an empty region counts as 0.
    """
    difference = (rendered - photo).abs().mean(1)
    return weighted_mean(_mean_of_region(difference, region), confidence.square())


def ssim_loss(
    rendered: Float[Tensor, "batch 3 height width"], photo: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, ""]:
    """1 - mean structural similarity (eq. 6, E_SSIM); both with the same background, usually black.

    Window of 11 px, Gaussian of 1.5 px, zero padding; mean over all pixels, colours and images,
    without confidence.
    """
    border = [WINDOW // 2] * 4
    similarity = ssim(
        F.pad(rendered, border), F.pad(photo, border), WINDOW, eps=0.0, padding="valid"
    )
    return 1 - similarity.mean()


def mean_colour_loss(
    rendered: Float[Tensor, "batch 3 height width"],
    photo: Float[Tensor, "batch 3 height width"],
    region: Bool[Tensor, "batch height width"],
    confidence: Float[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Difference of the mean brightness over the region, weighted by C_b^2; not in the paper.

    'mrgb' of S2HAND's code: one mean per image, over pixels and colours.
    """
    first, second = (_mean_of_region(image.mean(1), region) for image in (rendered, photo))
    return weighted_mean((first - second).abs(), confidence.square())


def _mean_of_region(
    values: Float[Tensor, "batch height width"], region: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    total = torch.where(region, values, 0.0).sum((1, 2))
    return total / region.sum((1, 2)).clamp(min=1)
