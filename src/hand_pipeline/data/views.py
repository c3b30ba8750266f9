"""Two augmented views of every photo of a batch, on the device, each by one exact affine warp."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.colour import (
    ColourMap,
    blur,
    clamp_normalized_,
    gaussian_kernels,
    jitter_maps,
    normalizing,
    recolour,
    solarize_normalized,
)
from hand_pipeline.geometry.affine2d import crop_matrix, invert, rotation, warp_images

Pair = tuple[float, float]
Rows = Int[Tensor, "_"] | slice  # not one name: portions differ in length

_AT_ONCE = 5
"""Views that a CPU makes at a time: few, so that they stay in its cache; and convolutions
take 16 channels at once, which five RGB images fill but for one.
"""


_SOLARIZE_FROM = 128 / 255  # of full white; iBOT


class ViewConfig(Config):
    """How views are drawn. HandMIM lists the operations; numbers it leaves out are iBOT's.

    There is no horizontal flip: HandMIM names none, and its alignment could not undo one.
    """

    retired: ClassVar[Mapping[str, Any]] = {
        "solarize_threshold": 128 / 255,
    }  # fmt: skip

    image_size: int = Field(224, gt=0, description="side of a view, pixels (HandMIM 4.1)")
    scale: Pair = Field(
        (0.08, 1.0),
        description="area of the crop, share of the photo's largest square (HandMIM 4.1)",
    )
    aspect: Pair = Field(
        (1.0, 1.0),
        description="width over height of the crop, drawn log-uniformly; HandMIM's eq. 3 has one "
        "scale for both axes, torchvision's RandomResizedCrop draws from (3/4, 4/3)",
    )
    rotation: Pair = Field((0.0, 150.0), description="degrees, clockwise, about the view's centre")
    rotation_random_sign: bool = Field(
        False, description="turn left as often as right; HandMIM's (0, 150) is read one-sided"
    )
    padding: Literal["reflection", "border", "zeros"] = Field(
        "reflection", description="what lies outside the photo (our choice)"
    )
    jitter_probability: float = Field(0.8, ge=0, le=1, description="iBOT")
    brightness: float = Field(0.4, ge=0, le=1, description="factor from 1 - b to 1 + b; iBOT")
    contrast: float = Field(0.4, ge=0, le=1, description="factor from 1 - c to 1 + c; iBOT")
    saturation: float = Field(0.2, ge=0, le=1, description="factor from 1 - s to 1 + s; iBOT")
    hue: float = Field(0.1, ge=0, le=0.5, description="turns of the colour wheel, +-; iBOT")
    gray_probability: float = Field(0.2, ge=0, le=1, description="iBOT")
    blur_probability: Pair = Field((1.0, 0.1), description="first and second view; iBOT")
    blur_sigma: Pair = Field(
        (0.1, 2.0), description="pixels of a 224 px view, scaled with image_size; iBOT"
    )
    solarize_probability: Pair = Field((0.0, 0.2), description="first and second view; iBOT")

    @model_validator(mode="after")
    def _ranges_are_ordered(self) -> "ViewConfig":
        for name in ("scale", "aspect", "rotation", "blur_sigma"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name} must be (smallest, largest), got {(low, high)}")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must lie in (0, 1], got {self.scale}")
        if self.aspect[0] <= 0 or self.blur_sigma[0] <= 0:
            raise ValueError("aspect and blur_sigma must be above 0")
        for name in ("blur_probability", "solarize_probability"):
            if not all(0 <= p <= 1 for p in getattr(self, name)):
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        return self


@dataclass(frozen=True)
class ViewPair:
    """Two views of every photo.

    Attributes:
        images: ImageNet-normalised.
        matrices: photo pixels to view pixels, exactly as the photo was warped.
        source_size: height and width of the photos, pixels.
        inside: True where the centre of a pixel shows the photo, not padding.
    """

    images: Float[Tensor, "2 batch 3 side side"]
    matrices: Float[Tensor, "2 batch 3 3"]
    source_size: tuple[int, int]
    inside: Bool[Tensor, "2 batch 1 side side"]


class ViewSampler:
    """Draws views from the global generator of the photos' device, or from one that is given.

    Nothing is decided per photo in Python and nothing is read back from the device.
    """

    def __init__(self, cfg: ViewConfig) -> None:
        self.cfg = cfg

    def __call__(
        self,
        images: UInt8[Tensor, "batch 3 height width"],
        generator: torch.Generator | None = None,
    ) -> ViewPair:
        """Two independent views of each photo; the second blurs and solarises differently."""
        with torch.autocast(images.device.type, enabled=False):  # pixels need more than 8 bits
            return self._sample(images, _Draw(len(images), images.device, generator))

    def _sample(self, images: Tensor, draw: "_Draw") -> ViewPair:
        """Draw all numbers, then make the views; on a CPU a few at a time."""
        cfg, side, count = self.cfg, self.cfg.image_size, len(images)
        source_size = (images.shape[-2], images.shape[-1])
        drawn = [self._draw(draw, source_size, view) for view in range(2)]
        views = torch.empty(2, count, 3, side, side, device=images.device)
        inside = torch.empty(2, count, 1, side, side, dtype=torch.bool, device=images.device)
        everything = torch.ones(count, dtype=torch.bool, device=images.device)
        for numbers, made, marks, blur_p, solarize_p in zip(
            drawn, views, inside, cfg.blur_probability, cfg.solarize_probability
        ):
            for rows in _portions(everything):
                some = numbers.rows(rows)
                self._warp_and_colour(images[rows].float(), some, out=made[rows])
                self._mark_inside(some.inverse, source_size, out=marks[rows])
            for rows in _portions(numbers.blurred) if blur_p else ():
                made[rows] = blur(made[rows], numbers.kernels[rows])
            for rows in _portions(numbers.solarized) if solarize_p else ():
                chosen = numbers.solarized[rows]
                made[rows] = solarize_normalized(made[rows], chosen, _SOLARIZE_FROM)
        matrices = torch.stack([numbers.matrix for numbers in drawn])
        return ViewPair(views, matrices, source_size, inside)

    def _draw(self, draw: "_Draw", source_size: tuple[int, int], view: int) -> "_Numbers":
        cfg = self.cfg
        matrix = self._matrix(draw, source_size)
        colours = jitter_maps(
            brightness=draw.around(1.0, cfg.brightness),
            contrast=draw.around(1.0, cfg.contrast),
            saturation=draw.around(1.0, cfg.saturation),
            hue=draw.around(0.0, cfg.hue),
            order=draw.order(4),
            jitter=draw.happens(cfg.jitter_probability),
            gray=draw.happens(cfg.gray_probability),
        )
        sigma = draw.uniform(cfg.blur_sigma) * (cfg.image_size / 224)
        blurred = draw.happens(cfg.blur_probability[view])
        radius = math.ceil(3 * cfg.blur_sigma[1] * cfg.image_size / 224)
        return _Numbers(
            matrix=matrix,
            inverse=invert(matrix),
            colours=normalizing(colours, white=255.0),
            kernels=gaussian_kernels(sigma, blurred, min(radius, cfg.image_size - 1)),
            blurred=blurred,
            solarized=draw.happens(cfg.solarize_probability[view]),
        )

    def _matrix(self, draw: "_Draw", source_size: tuple[int, int]) -> Tensor:
        """Crop, resize to the view, then turn about its centre (HandMIM eq. 3, with one matrix)."""
        cfg = self.cfg
        height, width = source_size
        root_area = draw.uniform(cfg.scale).sqrt()
        root_aspect = (0.5 * draw.uniform((math.log(cfg.aspect[0]), math.log(cfg.aspect[1])))).exp()
        side = min(height, width)
        crop_width = (root_area * root_aspect * side).clamp(max=width)
        crop_height = (root_area / root_aspect * side).clamp(max=height)
        left = draw.uniform((0.0, 1.0)) * (width - crop_width)
        top = draw.uniform((0.0, 1.0)) * (height - crop_height)
        box = torch.stack([left, top, left + crop_width, top + crop_height], dim=-1)
        angle = draw.uniform(cfg.rotation) * (math.pi / 180)
        if cfg.rotation_random_sign:
            angle = torch.where(draw.happens(0.5), -angle, angle)
        center = box.new_full((len(box), 2), cfg.image_size / 2)
        return rotation(angle, center) @ crop_matrix(box, cfg.image_size)

    def _warp_and_colour(self, photos: Tensor, numbers: "_Numbers", out: Tensor) -> None:
        """Warp, jitter, grey and normalise, the last three in one matrix."""
        warped = self._warp(photos, numbers.matrix)
        recolour(warped, numbers.colours.at(warped.mean((2, 3))), out=out)
        clamp_normalized_(out)

    def _warp(self, photos: Tensor, matrix: Tensor) -> Tensor:
        cfg, side = self.cfg, self.cfg.image_size
        longest = math.sqrt(cfg.scale[1] * max(cfg.aspect[1], 1 / cfg.aspect[0]))
        shrinks = longest * min(photos.shape[-2:]) / side >= math.sqrt(2)
        return warp_images(photos, matrix, (side, side), cfg.padding, antialias=shrinks)

    def _mark_inside(self, inverse: Tensor, source_size: tuple[int, int], out: Tensor) -> None:
        centres = torch.arange(self.cfg.image_size, device=inverse.device) + 0.5
        distances = []
        for axis, extent in enumerate((source_size[1], source_size[0])):
            # From the photo's middle, in halves of its side: outside is farther than 1.
            across, down, start = (inverse[:, axis] * (2 / extent))[..., None, None].unbind(1)
            distances.append((across * centres + (down * centres[:, None] + (start - 1))).abs_())
        farthest = torch.maximum(*distances, out=distances[0])
        out.copy_(farthest.le_(1)[:, None])  # in place: a comparison of floats into bools is slow


class _Numbers(NamedTuple):
    """What was drawn for one view, one entry a photo."""

    matrix: Tensor
    inverse: Tensor
    colours: ColourMap
    kernels: Tensor
    blurred: Tensor
    solarized: Tensor

    def rows(self, some: Rows) -> "_Numbers":
        return _Numbers(
            self.matrix[some],
            self.inverse[some],
            self.colours.rows(some),
            self.kernels[some],
            self.blurred[some],
            self.solarized[some],
        )


def _portions(chosen: Bool[Tensor, " batch"]) -> Sequence[Rows]:
    """On a CPU the chosen rows, few at a time; elsewhere all: asking would stall the device."""
    if not chosen.is_cpu:
        return [slice(None)]
    if chosen.all():
        return [slice(i, i + _AT_ONCE) for i in range(0, len(chosen), _AT_ONCE)]
    return chosen.nonzero()[:, 0].split(_AT_ONCE)


class _Draw:
    """Random numbers, one a photo."""

    def __init__(self, count: int, device: torch.device, generator: torch.Generator | None) -> None:
        self.count, self.device, self.generator = count, device, generator

    def uniform(self, bounds: Pair) -> Tensor:
        low, high = bounds
        unit = torch.rand(self.count, device=self.device, generator=self.generator)
        return low + (high - low) * unit

    def around(self, middle: float, spread: float) -> Tensor:
        return self.uniform((middle - spread, middle + spread))

    def happens(self, probability: float) -> Tensor:
        return self.uniform((0.0, 1.0)) < probability

    def order(self, length: int) -> Tensor:
        unit = torch.rand(self.count, length, device=self.device, generator=self.generator)
        return unit.argsort(1)
