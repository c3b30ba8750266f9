"""Photometric augmentation of a batch: each image gets its own numbers, no image its own call.

Brightness, contrast, saturation, hue and grey are all affine maps of RGB, so any sequence of them
is one 3x4 matrix an image and one pass over the pixels, instead of five and a detour through HSV.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

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
    """The inverse of `imagenet_normalize`, for images."""
    return images * _rgb(images, IMAGENET_STD) + _rgb(images, IMAGENET_MEAN)


class ColourMap(NamedTuple):
    """An affine map of colours whose offset depends on the image's mean: A colour + B mean + c."""

    of_pixel: Float[Tensor, "batch 3 3"]
    of_mean: Float[Tensor, "batch 3 3"]
    constant: Float[Tensor, "batch 3 1"]

    def at(self, mean: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 4"]:
        """The map for images of this mean colour, linear part and offset side by side."""
        offset = torch.baddbmm(self.constant, self.of_mean, mean[:, :, None])
        return torch.cat([self.of_pixel, offset], dim=2)

    def rows(self, some: Int[Tensor, " rows"] | slice) -> "ColourMap":
        """The maps of some of the images."""
        return ColourMap(*(part[some] for part in self))


def jitter_maps(
    brightness: Float[Tensor, " batch"],
    contrast: Float[Tensor, " batch"],
    saturation: Float[Tensor, " batch"],
    hue: Float[Tensor, " batch"],
    order: Int[Tensor, "batch 4"],
    jitter: Bool[Tensor, " batch"],
    gray: Bool[Tensor, " batch"],
) -> ColourMap:
    """The affine colour map of torchvision's ColorJitter and RandomGrayscale, for each image.

    Deviation: iBOT turns hue in HSV and cuts to [0, 1] after every operation; we turn it in the
    chroma plane of YIQ, which keeps brightness, and cut once, so that all of it is one matrix.

    Args:
        brightness: factor.
        contrast: factor; it pulls towards the grey value of the mean colour.
        saturation: factor.
        hue: turns, 1 is the whole colour wheel.
        order: a permutation of 0 to 3: brightness, contrast, saturation, hue.
        jitter: whether the first four apply at all.
        gray: whether the image then loses its colour.
    """
    identity = torch.eye(3, device=hue.device)
    luma = _constant((_LUMA,), hue.device).expand(3, 3)
    kinds = torch.stack(
        [
            brightness[:, None, None] * identity,
            contrast[:, None, None] * identity,
            luma + saturation[:, None, None] * (identity - luma),
            _hue_rotation(hue),
        ],
        dim=1,
    )
    of_pixel = identity.expand(len(hue), 3, 3)
    of_mean = torch.zeros_like(of_pixel)
    rows = torch.arange(len(hue), device=hue.device)
    for turn in range(4):
        kind = order[:, turn]
        pull = torch.where(kind == 1, 1 - contrast, 0)[:, None, None]
        to_gray = pull * (luma @ (of_pixel + of_mean))
        of_pixel = kinds[rows, kind] @ of_pixel
        of_mean = kinds[rows, kind] @ of_mean + to_gray
    of_pixel = torch.where(jitter[:, None, None], of_pixel, identity)
    of_mean = of_mean * jitter[:, None, None]
    of_pixel = torch.where(gray[:, None, None], luma @ of_pixel, of_pixel)
    of_mean = torch.where(gray[:, None, None], luma @ of_mean, of_mean)
    return ColourMap(of_pixel, of_mean, torch.zeros_like(of_mean[:, :, :1]))


def normalizing(colours: ColourMap, white: float) -> ColourMap:
    """The same map, from values of 0 to `white` to ImageNet-normalised ones."""
    mean, std = (_constant((v,), colours.constant.device).T for v in (IMAGENET_MEAN, IMAGENET_STD))
    scale = 1 / (white * std)
    return ColourMap(
        colours.of_pixel * scale, colours.of_mean * scale, colours.constant * scale - mean / std
    )


def recolour(
    images: Float[Tensor, "batch 3 height width"],
    matrix: Float[Tensor, "batch 3 4"],
    out: Float[Tensor, "batch 3 height width"] | None = None,
) -> Float[Tensor, "batch 3 height width"]:
    """Every pixel's colour through its image's affine map; may leave the range of colours.

    Args:
        images: RGB.
        matrix: linear part and offset, side by side.
        out: where to write, contiguous; None: new memory.
    """
    flat = None if out is None else out.view(len(out), 3, -1)
    flat = torch.baddbmm(matrix[:, :, 3:], matrix[:, :, :3], images.flatten(2), out=flat)
    return flat.view_as(images)


def clamp_normalized_(
    images: Float[Tensor, "batch 3 height width"],
) -> Float[Tensor, "batch 3 height width"]:
    """Cut normalised images to black and white, in place."""
    for channel, (mean, std) in enumerate(zip(IMAGENET_MEAN, IMAGENET_STD)):
        images[:, channel].clamp_(-mean / std, (1 - mean) / std)
    return images


def gaussian_kernels(
    sigma: Float[Tensor, " batch"], chosen: Bool[Tensor, " batch"], radius: int
) -> Float[Tensor, "batch taps"]:
    """One-dimensional Gaussian weights, summing to 1; a single 1 where not `chosen`."""
    offset = torch.arange(-radius, radius + 1, device=sigma.device, dtype=sigma.dtype)
    kernel = (-offset.square() / (2 * sigma.square())[:, None]).exp()
    kernel = kernel / kernel.sum(1, keepdim=True)
    return torch.where(chosen[:, None], kernel, (offset == 0).to(kernel.dtype))


def blur(
    images: Float[Tensor, "batch channels height width"], kernels: Float[Tensor, "batch taps"]
) -> Float[Tensor, "batch channels height width"]:
    """Smooth columns, then rows, each image with its own kernel; borders are mirrored."""
    batch, channels, height, width = images.shape
    radius = kernels.shape[1] // 2
    groups = batch * channels
    if groups == 0:  # a convolution of no groups is an error
        return images
    weights = kernels.repeat_interleave(channels, 0)[:, None, :]
    flat = F.pad(images.reshape(1, groups, height, width), (radius,) * 4, mode="reflect")
    flat = F.conv2d(flat, weights[..., None], groups=groups)
    return F.conv2d(flat, weights[:, :, None], groups=groups).view_as(images)


def solarize_normalized(
    images: Float[Tensor, "batch 3 height width"],
    chosen: Bool[Tensor, " batch"],
    threshold: float,
) -> Float[Tensor, "batch 3 height width"]:
    """Invert the values at or above `threshold` in the chosen images, which are normalised.

    Args:
        images: ImageNet-normalised, within the range of colours.
        chosen: which images.
        threshold: share of full white.
    """
    pairs = list(zip(IMAGENET_MEAN, IMAGENET_STD))
    least = _rgb(images, tuple((threshold - mean) / std for mean, std in pairs))
    least = torch.where(chosen[:, None, None, None], least, math.inf)
    black_and_white = _rgb(images, tuple((1 - 2 * mean) / std for mean, std in pairs))
    return torch.where(images >= least, black_and_white - images, images)


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


def _constant(rows: tuple[tuple[float, ...], ...], device: torch.device) -> Tensor:
    """A table on `device`, copied there once: each copy would wait for all that runs there."""
    return _copied(rows, device, torch.get_default_dtype())


@lru_cache
def _copied(
    rows: tuple[tuple[float, ...], ...], device: torch.device, dtype: torch.dtype
) -> Tensor:
    return torch.tensor(rows, device=device, dtype=dtype)


_YIQ_INVERSE = tuple(
    tuple(row) for row in torch.tensor(_YIQ, dtype=torch.float64).inverse().tolist()
)
