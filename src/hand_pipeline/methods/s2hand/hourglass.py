"""The 2D branch: a stacked hourglass (Newell et al., ECCV 2016) with integral regression.

S2HAND (Chen et al., CVPR 2021), section 3.3, uses it in training only.
"""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.config import Config
from hand_pipeline.geometry.precision import full_precision

STEM_STRIDE = 4  # px of the image a cell of a map


class HourglassConfig(Config):
    """The 2D branch's architecture; the defaults are those of S2HAND's code."""

    stacks: int = Field(2, ge=1, description="hourglasses, each with its own loss; S2HAND: 2")
    width: int = Field(256, ge=8, multiple_of=4, description="channels; code: 256")
    depth: int = Field(4, ge=1, description="halvings within an hourglass; code: 4")
    blocks: int = Field(2, ge=1, description="residual blocks in sequence; code: 2")
    logit_scale: float = Field(
        1.0,
        gt=0,
        description="factor of the maps before their softmax; S2HAND's code: 1, with which a peak "
        "of 8 in a map of 64 x 64 is read dozens of px off, drawn to the middle; on CPUs: 10",
    )


class StackedHourglass(nn.Module):
    """Images to 2D joints, one set per stack.

    The image is zero-padded on the right and below to a size that can be halved `depth` times
    (224 px to 256), which keeps pixel coordinates.

    Args:
        cfg: architecture.
        num_joints: maps of each stack.
    """

    def __init__(self, cfg: HourglassConfig, num_joints: int = 21) -> None:
        super().__init__()
        width = cfg.width
        self.logit_scale = cfg.logit_scale
        self.multiple = STEM_STRIDE * 2**cfg.depth
        self.stem = nn.Sequential(
            nn.Conv2d(3, width // 4, 7, stride=2, padding=3), nn.BatchNorm2d(width // 4),
            nn.ReLU(inplace=True), _Residual(width // 4, width // 2), nn.MaxPool2d(2),
            _Residual(width // 2, width // 2), _Residual(width // 2, width),
        )  # fmt: skip
        every, last = range(cfg.stacks), cfg.stacks - 1
        self.hourglasses = nn.ModuleList(_Hourglass(width, cfg.depth, cfg.blocks) for _ in every)
        self.necks = nn.ModuleList(
            nn.Sequential(
                *(_Residual(width, width) for _ in range(cfg.blocks)),
                nn.Conv2d(width, width, 1), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            )
            for _ in every
        )  # fmt: skip
        self.maps = nn.ModuleList(nn.Conv2d(width, num_joints, 1) for _ in every)
        self.from_necks = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(last))
        self.from_maps = nn.ModuleList(nn.Conv2d(num_joints, width, 1) for _ in range(last))

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch joints 2"]]:
        """Joints of each stack, the best last; px of `images`, left edge 0.

        Args:
            images: RGB, 0 to 1.
        """
        return [self.joints_of(logits) for logits in self.logits(images)]

    def joints_of(
        self, logits: Float[Tensor, "batch joints rows columns"]
    ) -> Float[Tensor, "batch joints 2"]:
        """Joints of a stack's logits, px of the images."""
        rows, columns = logits.shape[-2:]
        return integral_joints(logits, (rows * STEM_STRIDE, columns * STEM_STRIDE))

    def logits(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> list[Float[Tensor, "batch joints rows columns"]]:
        """Logits of each stack, one for every 4 px of the padded image.

        Args:
            images: RGB, 0 to 1.
        """
        height, width = images.shape[-2:]
        more = [-width % self.multiple, -height % self.multiple]
        padded = F.pad(images - 0.5, (0, more[0], 0, more[1]))
        padded = padded.contiguous(memory_format=torch.channels_last)  # a quarter faster on CPUs
        values = self.stem(padded)
        found = []
        for number, (hourglass, neck, to_maps) in enumerate(
            zip(self.hourglasses, self.necks, self.maps)
        ):
            seen = neck(hourglass(values))
            maps = to_maps(seen)
            found.append(maps * self.logit_scale)
            if number < len(self.from_necks):
                values = values + self.from_necks[number](seen) + self.from_maps[number](maps)
        return found


@full_precision
def integral_joints(
    maps: Float[Tensor, "batch joints rows columns"], image_size: tuple[int, int]
) -> Float[Tensor, "batch joints 2"]:
    """Mean position under the softmax of each map (integral regression, Sun et al., ECCV 2018).

    As S2HAND's code: logits are first interpolated to the image, corner pixel onto corner pixel,
    and the temperature is 1.

    Args:
        maps: logits.
        image_size: height, width of the image that the maps belong to.

    Returns:
        px of the image; x, y; left edge 0, so centres of pixels lie at .5.
    """
    full = F.interpolate(maps, image_size, mode="bilinear", align_corners=True)
    share = full.flatten(2).softmax(-1).view_as(full)
    places = []
    for axis, size in ((2, image_size[1]), (3, image_size[0])):
        centres = torch.arange(size, device=maps.device, dtype=share.dtype) + 0.5
        places.append((share.sum(axis) * centres).sum(-1))
    return torch.stack(places, dim=-1)


class _Hourglass(nn.Module):
    def __init__(self, width: int, depth: int, blocks: int) -> None:
        super().__init__()
        self.beside = _several(width, blocks)
        self.down = _several(width, blocks)
        inner = _Hourglass(width, depth - 1, blocks) if depth > 1 else _several(width, blocks)
        self.inner = inner
        self.up = _several(width, blocks)

    def forward(self, values: Tensor) -> Tensor:
        below = self.up(self.inner(self.down(F.max_pool2d(values, 2))))
        return self.beside(values) + F.interpolate(below, scale_factor=2.0, mode="nearest")


def _several(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(width, width) for _ in range(count)))


class _Residual(nn.Module):
    """Newell's bottleneck: normalise, activate, convolve, three times; half the width inside."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.branch = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.ReLU(), nn.Conv2d(inputs, half, 1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, half, 3, padding=1),
            nn.BatchNorm2d(half), nn.ReLU(inplace=True), nn.Conv2d(half, outputs, 1),
        )  # fmt: skip
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, values: Tensor) -> Tensor:
        return self.skip(values) + self.branch(values)
