"""Photometric augmentation of a batch: each image gets its own numbers, no image its own call.

Brightness, contrast, saturation, hue and grey are all affine maps of RGB, so any sequence of them
is one 3x4 matrix an image and one pass over the pixels, instead of five and a detour through HSV.
"""

import math
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_LUMA = (0.299, 0.587, 0.114)
"""ITU-R 601-2, as in PIL and torchvision."""

_YIQ: tuple[tuple[float, ...], ...] = (
    (0.299, 0.587, 0.114),
    (0.5959, -0.2746, -0.3213),
    (0.2115, -0.5227, 0.3112),
)
"""RGB to luma and two chroma axes; hue is an angle in the chroma plane."""


def imagenet_normalize(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """RGB in [0, 1] to zero mean and unit variance over ImageNet."""
    factor = tuple(1 / std for std in IMAGENET_STD)
    offset = tuple(-mean / std for mean, std in zip(IMAGENET_MEAN, IMAGENET_STD))
    return torch.addcmul(_rgb(images, offset), images, _rgb(images, factor))


def imagenet_denormalize(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """The inverse of `imagenet_normalize`, for pictures."""
    return images * _rgb(images, IMAGENET_STD) + _rgb(images, IMAGENET_MEAN)


def jitter_matrices(
    mean: Float[Tensor, "batch 3"],
    brightness: Float[Tensor, " batch"],
    contrast: Float[Tensor, " batch"],
    saturation: Float[Tensor, " batch"],
    hue: Float[Tensor, " batch"],
    order: Int[Tensor, "batch 4"],
    jitter: Bool[Tensor, " batch"],
    gray: Bool[Tensor, " batch"],
) -> Float[Tensor, "batch 3 4"]:
    """The affine colour map of torchvision's ColorJitter and RandomGrayscale, for each image.

    Deviation: iBOT turns hue in HSV and cuts to [0, 1] after every operation; we turn it in the
    chroma plane of YIQ, which keeps brightness, and cut once, so that all of it is one matrix.

    Args:
        mean: mean colour of each image; contrast pulls towards its grey value.
        brightness: factor.
        contrast: factor.
        saturation: factor.
        hue: turns, 1 is the whole colour wheel.
        order: a permutation of 0 to 3: brightness, contrast, saturation, hue.
        jitter: whether the first four apply at all.
        gray: whether the image then loses its colour.
    """
    identity = torch.eye(3, device=mean.device)
    luma = _constant((_LUMA,), mean.device).expand(3, 3)
    linear = torch.stack(
        [
            brightness[:, None, None] * identity,
            contrast[:, None, None] * identity,
            luma + saturation[:, None, None] * (identity - luma),
            _hue_rotation(hue),
        ],
        dim=1,
    )
    untouched = torch.cat([identity, identity.new_zeros(3, 1)], 1)
    total = untouched.expand(len(mean), 3, 4)
    rows = torch.arange(len(mean), device=mean.device)
    for turn in range(4):
        kind = order[:, turn]
        gray_of_mean = luma @ (total[:, :, :3] @ mean[:, :, None] + total[:, :, 3:])
        pull = torch.where(kind == 1, 1 - contrast, 0)[:, None, None] * gray_of_mean
        total = linear[rows, kind] @ total
        total = torch.cat([total[:, :, :3], total[:, :, 3:] + pull], dim=2)
    total = torch.where(jitter[:, None, None], total, untouched)
    return torch.where(gray[:, None, None], luma @ total, total)


def recolour(
    images: Float[Tensor, "batch 3 height width"], matrix: Float[Tensor, "batch 3 4"]
) -> Float[Tensor, "batch 3 height width"]:
    """Every pixel's colour through its image's affine map; may leave [0, 1]."""
    flat = torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], images.flatten(2))
    return flat.view_as(images)


def blur_matrices(
    sigma: Float[Tensor, " batch"], chosen: Bool[Tensor, " batch"], side: int
) -> Float[Tensor, "batch side side"]:
    """One-dimensional Gaussian smoothing as a matrix; the identity where not `chosen`.

    Rows sum to 1, so a border keeps its brightness.
    """
    position = torch.arange(side, device=sigma.device, dtype=sigma.dtype)
    distance = (position[:, None] - position).square()
    kernel = (-distance / (2 * sigma.square())[:, None, None]).exp()
    kernel = kernel / kernel.sum(-1, keepdim=True)
    return torch.where(chosen[:, None, None], kernel, torch.eye(side, device=sigma.device))


def blur(
    images: Float[Tensor, "batch channels side side"], matrix: Float[Tensor, "batch side side"]
) -> Float[Tensor, "batch channels side side"]:
    """Smooth rows and columns by `blur_matrices`.

    As two matrix products: each image has its own width, and matrix units do this faster than a
    convolution with one group an image and channel.
    """
    batch, channels, side, _ = images.shape
    rows = torch.bmm(images.reshape(batch, channels * side, side), matrix.mT)
    return matrix[:, None] @ rows.view(batch, channels, side, side)


def solarize(
    images: Float[Tensor, "batch 3 height width"],
    chosen: Bool[Tensor, " batch"],
    threshold: float,
) -> Float[Tensor, "batch 3 height width"]:
    """Invert the values at or above `threshold`, in the chosen images; images in [0, 1]."""
    inverted = chosen[:, None, None, None] & (images >= threshold)
    return torch.where(inverted, 1 - images, images)


def _hue_rotation(turns: Float[Tensor, " batch"]) -> Float[Tensor, "batch 3 3"]:
    to_yiq, to_rgb = _constant(_YIQ, turns.device), _constant(_YIQ_INVERSE, turns.device)
    angle = turns * (2 * math.pi)
    cos, sin = angle.cos(), angle.sin()
    one, zero = torch.ones_like(cos), torch.zeros_like(cos)
    turned = torch.stack([one, zero, zero, zero, cos, sin, zero, -sin, cos], -1).unflatten(
        -1, (3, 3)
    )
    return to_rgb @ turned @ to_yiq


def _rgb(images: Tensor, values: tuple[float, ...]) -> Tensor:
    return _constant((values,), images.device).view(3, 1, 1)


@lru_cache
def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """A table on `device`, copied there once: each copy would wait for all that runs there."""
    return torch.tensor(rows, device=device)


_YIQ_INVERSE = tuple(
    tuple(row) for row in torch.tensor(_YIQ, dtype=torch.float64).inverse().tolist()
)
