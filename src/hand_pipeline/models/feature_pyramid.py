"""Feature maps of rising resolution from a vision transformer's patch tokens."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

Norm = Literal["batch", "group"]
_GROUP_WIDTH = 8  # channels a group, where GroupNorm is chosen


class FeaturePyramid(nn.Module):
    """Patch tokens to maps at 1, 2, 4, ... times the patch grid.

    PyMAF (Zhang et al. 2021, section 3.1) climbs from a ResNet's 7 x 7 map by three deconvolutions
    (256 channels, kernel 4, stride 2, BatchNorm, ReLU) to 14, 28 and 56.

    Deviation: a ViT's tokens already lie on a 14 x 14 grid, so the first map is a 1 x 1 convolution
    of them and two deconvolutions make the others: the resolutions are PyMAF's.

    Args:
        embed_dim: width of the tokens.
        channels: width of every map (PyMAF: 256).
        num_maps: how many maps, each twice as fine as the one before.
        norm: "batch" (PyMAF), or "group" where batches are too small for statistics.
    """

    def __init__(
        self, embed_dim: int, channels: int = 256, num_maps: int = 3, norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.entry = nn.Sequential(
            nn.Conv2d(embed_dim, channels, 1, bias=False), _norm(norm, channels), nn.ReLU()
        )
        self.steps = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False),
                _norm(norm, channels),
                nn.ReLU(),
            )
            for _ in range(num_maps - 1)
        )

    def forward(
        self, patches: Float[Tensor, "batch patches width"]
    ) -> list[Float[Tensor, "batch channels rows columns"]]:
        """Maps from coarse to fine; `patches` are a square grid, row by row."""
        side = math.isqrt(patches.shape[1])
        if side * side != patches.shape[1]:
            raise ValueError(f"expected a square grid of patches, got {patches.shape[1]}")
        maps = [self.entry(patches.mT.unflatten(2, (side, side)))]
        for step in self.steps:
            maps.append(step(maps[-1]))
        return maps


def _norm(kind: Norm, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.GroupNorm(max(1, channels // _GROUP_WIDTH), channels)
