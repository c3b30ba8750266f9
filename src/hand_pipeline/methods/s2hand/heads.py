"""S2HAND's regressors: geometry from the last feature map, colours and light from an early one.

Chen et al., CVPR 2021, appendix B (tables 7 and 8); what the paper leaves out follows its code.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

SKIN = (200 / 256, 150 / 256, 150 / 256)
"""RGB added to regressed colours, before the tanh."""
POSE_COMPONENTS = 30
"""Principal components of the finger pose (S2HAND)."""
FIRST_SCALE = 0.95
"""Initial scale of a hand, as in the code."""
FIRST_LIGHT = (0.6, 0.4, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, -1.0)
"""Our initial light, in the order of `LIGHT`: mostly ambient, white, the lamp at the camera."""
LIGHT = (
    "ambient", "directional", "ambient_r", "ambient_g", "ambient_b", "directional_r",
    "directional_g", "directional_b", "direction_x", "direction_y", "direction_z",
)  # fmt: skip
_GRID_CHANNELS = 64
_LOW_SIDE = 56  # side of the early map for which table 8 is designed (224 px input)


class HandCode(NamedTuple):
    """The regressed parameters of a hand (S2HAND, section 3.1).

    Attributes:
        pose: coefficients of the finger pose's principal components.
        betas: shape.
        rotation: axis-angle, radians.
        translation: metres.
        scale: of the hand; its sign is not used.
    """

    pose: Float[Tensor, "batch components"]
    betas: Float[Tensor, "batch 10"]
    rotation: Float[Tensor, "batch 3"]
    translation: Float[Tensor, "batch 3"]
    scale: Float[Tensor, "batch 1"]


class GeometryHeads(nn.Module):
    """Pooled features to `HandCode` (table 7).

    Args:
        num_features: channels of the last feature map.
        side: of the last feature map.
        pooling: over the map; the paper's text says max, its code takes the mean. Deviation:
            "grid" keeps the map, with fewer channels: after pooling, only padding effects encode
            positions, which short trainings do not learn to use.
        start_std: of the initial weights of translation and scale; in the code 0.001.
    """

    def __init__(
        self,
        num_features: int,
        side: int = 7,
        pooling: Literal["mean", "max", "grid"] = "mean",
        start_std: float = 0.001,
    ) -> None:
        super().__init__()
        self.pool: nn.Module
        if pooling == "grid":
            self.pool = nn.Conv2d(num_features, _GRID_CHANNELS, 1)
            num_features = _GRID_CHANNELS * side**2
        else:
            self.pool = nn.AdaptiveAvgPool2d(1) if pooling == "mean" else nn.AdaptiveMaxPool2d(1)
        self.base = nn.Sequential(
            nn.Linear(num_features, 1024), nn.BatchNorm1d(1024), nn.ReLU(),
            nn.Linear(1024, 512), nn.BatchNorm1d(512), nn.ReLU(),
        )  # fmt: skip
        self.pose = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, POSE_COMPONENTS))
        self.shape = nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 10))
        self.rotation = _narrowing(3)
        self.translation = _narrowing(3)
        self.scale = _narrowing(1)
        for head in (self.translation, self.scale):
            _start_small(head, start_std)
        with torch.no_grad():
            _last(self.scale).bias.fill_(FIRST_SCALE)

    def start_at_depth(self, depth: float) -> None:
        """Make hands start at this depth, metres."""
        with torch.no_grad():
            _last(self.translation).bias[2] = depth

    def forward(self, features: Float[Tensor, "batch channels rows columns"]) -> HandCode:
        """The code of each hand, at least in float32."""
        base = self.base(self.pool(features).flatten(1))
        return HandCode(
            *(
                head(base).float()
                for head in (self.pose, self.shape, self.rotation, self.translation, self.scale)
            )
        )


class Appearance(NamedTuple):
    """Regressed colours and light.

    Attributes:
        colours: of each vertex, before the tanh.
        light: in the order of `LIGHT`, unconstrained.
    """

    colours: Float[Tensor, "batch vertices 3"]
    light: Float[Tensor, "batch 11"]


class AppearanceHeads(nn.Module):
    """Early features to colours and light (table 8).

    Maps of other image sizes are interpolated to that of a 224 px image, so that layers and weights
    do not depend on the size.

    Deviation: in the code the last layer of the light has weights of mean 1 and no bias, so light
    starts near 0 and renders start black; we start from `FIRST_LIGHT`.
    Deviation: the code has a colour for each face; we have one for each vertex, as the paper.

    Args:
        num_low: channels of the early map.
        num_vertices: of the mesh.
        start_std: of all initial weights; in the code 0.001.
    """

    skin: Tensor

    def __init__(
        self,
        num_low: int,
        num_vertices: int,
        start_std: float = 0.001,
    ) -> None:
        super().__init__()
        self.base = nn.Sequential(
            nn.Conv2d(num_low, 48, 10, stride=4, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(48, 64, 3), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(),
        )  # fmt: skip
        self.texture = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, num_vertices * 3))
        self.light = nn.Sequential(nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, len(LIGHT)))
        for part in (self.base, self.texture, self.light):
            _start_small(part, start_std)
        with torch.no_grad():
            _last(self.light).bias.copy_(torch.tensor(FIRST_LIGHT))
        self.register_buffer("skin", torch.tensor(SKIN), persistent=False)

    def forward(self, low: Float[Tensor, "batch channels rows columns"]) -> Appearance:
        """Colours and light of each image, at least in float32."""
        if low.shape[-2:] != (_LOW_SIDE, _LOW_SIDE):
            low = F.interpolate(low, (_LOW_SIDE, _LOW_SIDE), mode="bilinear", align_corners=False)
        base = self.base(low)
        colours = self.texture(base).float().unflatten(1, (-1, 3)) + self.skin
        return Appearance(colours, self.light(base).float())


def _narrowing(outputs: int) -> nn.Sequential:
    # no activation before the last layer, as in table 7
    return nn.Sequential(nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 32), nn.Linear(32, outputs))


def _start_small(network: nn.Sequential, std: float) -> None:
    """Small weights and zero biases, so that outputs start near the biases set afterwards."""
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _last(network: nn.Sequential) -> nn.Linear:
    layer = network[-1]
    assert isinstance(layer, nn.Linear)
    return layer
