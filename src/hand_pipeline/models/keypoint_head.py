"""2D joints that a network finds itself, as heat maps over its feature map."""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hand_pipeline.geometry.joints import OPENPOSE
from hand_pipeline.geometry.precision import full_precision

_NEAR = 1.5  # patches: where a learnt map has 99 % of its mass if the joint's place is known


class OwnJoints(NamedTuple):
    """2D joints as heat maps, and read from them.

    Attributes:
        logits: a heat map for each joint, OpenPose's order.
        points: their mean positions, x, y; the image's edges are -1 and 1.
        confidence: a map's share within 1.5 patches of its point, 0 to 1: small where the map is
            wide or has several peaks.
    """

    logits: Float[Tensor, "batch 21 rows columns"]
    points: Float[Tensor, "batch 21 2"]
    confidence: Float[Tensor, "batch 21"]

    def stand_in(
        self,
        points: Float[Tensor, "batch 21 2"] | None,
        confidence: Float[Tensor, "batch 21"] | None,
        shown: Bool[Tensor, " batch"] | None,
    ) -> tuple[Float[Tensor, "batch 21 2"], Float[Tensor, "batch 21"]]:
        """The detected joints, and these in the place of each of confidence 0.

        These pass no gradient on: nothing but the labelled 2D joints moves them.

        Args:
            points: detected, in the same units; None: none was.
            confidence: of `points`.
            shown: hands whose image may be used: the others' joints stay missing; None: all.
        """
        own, sure = self.points.detach(), self.confidence.detach()
        if shown is not None:
            sure = sure * shown[:, None]
        if points is None or confidence is None:
            return own, sure
        missing = ~(confidence > 0)  # NaN, too
        return torch.where(missing[..., None], own, points), torch.where(missing, sure, confidence)


class KeypointHead(nn.Module):
    """Cells of a feature map to 2D joints: a linear layer to heat maps, read by their means.

    Args:
        embed_dim: width of the cells: patch tokens, or a map of a pyramid.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.maps = nn.Linear(embed_dim, len(OPENPOSE))

    def forward(self, patches: Float[Tensor, "batch patches width"]) -> OwnJoints:
        """Joints of each image; `patches` are a square grid, row by row."""
        side = math.isqrt(patches.shape[1])
        return _read(self.maps(patches).mT.unflatten(2, (side, side)))


@full_precision
def _read(logits: Float[Tensor, "batch 21 side side"]) -> OwnJoints:
    side = logits.shape[-1]
    share = logits.flatten(2).softmax(-1)
    centres = (torch.arange(side, device=logits.device, dtype=share.dtype) * 2 + 1) / side - 1
    places = torch.cartesian_prod(centres, centres).flip(1)
    points = share @ places
    near = (points[:, :, None] - places).norm(dim=-1) < _NEAR * 2 / side
    return OwnJoints(logits, points, (share * near).sum(-1))
