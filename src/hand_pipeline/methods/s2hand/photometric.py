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
MOST_PSNR = 100.0
"""dB: what an identical picture gets in place of infinity, so that a mean over hands exists."""


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
    return 1 - _similarity(rendered, photo).mean()


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


def picture_quality(
    rendered: Float[Tensor, "batch 3 height width"],
    photo: Float[Tensor, "batch 3 height width"],
    region: Bool[Tensor, "batch height width"],
) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"]]:
    """PSNR and SSIM of each image over its region; not in the paper, which shows no such numbers.

    Both pictures are black outside the region, as where training compares them. PSNR is
    -10 log10 of the mean squared difference over the region's pixels and colours, at most
    `MOST_PSNR`; SSIM is `ssim_loss`'s, averaged over the region alone. An image with an empty
    region shows nothing of the photo: 0 for both.

    Returns:
        PSNR, dB; SSIM, at most 1.
    """
    shown = region[:, None]
    first, second = rendered * shown, photo * shown
    square = _mean_of_region((first - second).square().mean(1), region)
    noise = -10 * square.clamp(min=10 ** (-MOST_PSNR / 10)).log10()
    similar = _mean_of_region(_similarity(first, second).mean(1), region)
    return noise.where(region.any(2).any(1), noise.new_zeros(())), similar


def _similarity(
    first: Float[Tensor, "batch 3 height width"], second: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch 3 height width"]:
    border = [WINDOW // 2] * 4
    return ssim(F.pad(first, border), F.pad(second, border), WINDOW, eps=0.0, padding="valid")


def _mean_of_region(
    values: Float[Tensor, "batch height width"], region: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    total = torch.where(region, values, 0.0).sum((1, 2))
    return total / region.sum((1, 2)).clamp(min=1)
