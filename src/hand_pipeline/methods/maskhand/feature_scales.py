"""The feature maps that MaskHand's synthesizer attends to: chosen scales of a pyramid."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.models.feature_pyramid import FeaturePyramid, Norm


class FeatureScales(nn.Module):
    """Maps at the given multiples of the patch grid, such as 1x and 4x.

    MaskHand (arXiv 2412.13393), section 3: an upsampler of transposed convolutions makes the
    high-resolution maps; the ablation of table 16 tries 1 / 1,4 / 1,4,8 / 1,8,16 / 1,4,8,16.

    Deviation: the paper gives no widths; ours doubles the grid step by step with PyMAF's pyramid
    and returns only the given scales.

    Args:
        embed_dim: width of the patch tokens.
        channels: width of every map.
        scales: powers of two, rising.
        norm: "batch", or "group" where batches are small.

    Raises:
        ValueError: scales that are not rising powers of two.
    """

    def __init__(
        self,
        embed_dim: int,
        channels: int = 256,
        scales: tuple[int, ...] = (1, 4),
        norm: Norm = "group",
    ) -> None:
        super().__init__()
        check_scales(scales)
        self.steps = tuple(scale.bit_length() - 1 for scale in scales)
        self.pyramid = FeaturePyramid(embed_dim, channels, self.steps[-1] + 1, norm)

    def forward(
        self, patches: Float[Tensor, "batch patches width"]
    ) -> list[Float[Tensor, "batch channels _rows _columns"]]:
        """One map a scale; `patches` are a square grid, row by row."""
        maps = self.pyramid(patches)
        return [maps[step] for step in self.steps]


def check_scales(scales: tuple[int, ...]) -> None:
    """Refuse scales that repeated doubling does not reach in this order.

    Raises:
        ValueError: no scale, one that is no power of two, or a falling or repeated one.
    """
    powers = all(scale > 0 and scale & (scale - 1) == 0 for scale in scales)
    if not scales or not powers or any(b <= a for a, b in pairwise(scales)):
        raise ValueError(f"feature scales must be rising powers of two, such as 1, 4; got {scales}")
