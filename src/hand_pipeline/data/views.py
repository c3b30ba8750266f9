"""Two augmented views of every photo of a batch, on the device, each by one exact affine warp."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, UInt8
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.colour import (
    blur,
    blur_matrices,
    imagenet_normalize,
    jitter_matrices,
    recolour,
    solarize,
)
from hand_pipeline.geometry.affine2d import crop_matrix, invert, rotation, warp_images

Pair = tuple[float, float]


class ViewConfig(Config):
    """How views are drawn. HandMIM lists the operations; numbers it leaves out are iBOT's.

    There is no horizontal flip: HandMIM names none, and its alignment could not undo one.
    """

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
    solarize_threshold: float = Field(128 / 255, ge=0, le=1, description="of full white; iBOT")

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
        source_size = (images.shape[-2], images.shape[-1])
        photos = images.float() / 255
        views, matrices, inside = [], [], []
        for view in range(2):
            matrix = self._matrix(draw, source_size)
            views.append(self._photometric(self._warp(photos, matrix), draw, view))
            matrices.append(matrix)
            inside.append(self._inside(matrix, source_size))
        return ViewPair(torch.stack(views), torch.stack(matrices), source_size, torch.stack(inside))

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

    def _warp(self, photos: Tensor, matrix: Tensor) -> Tensor:
        side = self.cfg.image_size
        return warp_images(photos, matrix, (side, side), padding_mode=self.cfg.padding)

    def _photometric(self, images: Tensor, draw: "_Draw", view: int) -> Tensor:
        """Colour, grey, blur, solarise, normalise; the order of iBOT."""
        cfg = self.cfg
        colour = jitter_matrices(
            images.mean((2, 3)),
            brightness=draw.around(1.0, cfg.brightness),
            contrast=draw.around(1.0, cfg.contrast),
            saturation=draw.around(1.0, cfg.saturation),
            hue=draw.around(0.0, cfg.hue),
            order=draw.order(4),
            jitter=draw.happens(cfg.jitter_probability),
            gray=draw.happens(cfg.gray_probability),
        )
        images = recolour(images, colour).clamp(0, 1)
        if cfg.blur_probability[view] > 0:
            sigma = draw.uniform(cfg.blur_sigma) * (cfg.image_size / 224)
            blurred = draw.happens(cfg.blur_probability[view])
            images = blur(images, blur_matrices(sigma, blurred, cfg.image_size))
        if cfg.solarize_probability[view] > 0:
            chosen = draw.happens(cfg.solarize_probability[view])
            images = solarize(images, chosen, cfg.solarize_threshold)
        return imagenet_normalize(images)

    def _inside(self, matrix: Tensor, source_size: tuple[int, int]) -> Tensor:
        centres = torch.arange(self.cfg.image_size, device=matrix.device) + 0.5
        back = invert(matrix)
        extent = (source_size[1], source_size[0])
        within = torch.ones((), dtype=torch.bool, device=matrix.device)
        for axis in range(2):
            along_x = back[:, axis, 0, None, None] * centres
            along_y = back[:, axis, 1, None, None] * centres[:, None]
            position = along_x + along_y + back[:, axis, 2, None, None]
            within = within & (position >= 0) & (position <= extent[axis])
        return within[:, None]


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
