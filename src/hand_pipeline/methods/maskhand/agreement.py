"""How sure a hand is, from how much other draws of the same network agree with it."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision

SCALE = 0.01
"""Metres at which agreement has fallen to 1 / e; our choice: the error that reports call large."""


class Agreement(NamedTuple):
    """Confidences, 0 to 1.

    Attributes:
        hands: of whole hands.
        joints: of their joints, OpenPose order.
    """

    hands: Float[Tensor, "batch hypotheses"]
    joints: Float[Tensor, "batch hypotheses 21"]


@full_precision
def agreement(
    joints: Float[Tensor, "batch hypotheses 21 3"],
    witnesses: Float[Tensor, "batch witnesses 21 3"],
    scale: float = SCALE,
) -> Agreement:
    """Mean of exp(-d / scale) over the witnesses, d the distance of hypothesis and witness.

    The hypothesis most witnesses agree with is near the middle of what the network thinks possible,
    and where that is wide no hypothesis is sure: so it can both rank the hypotheses of an image and
    compare images.

    Args:
        joints: metres, any frame.
        witnesses: other draws for the same images, in the same frame.
        scale: metres.

    Returns:
        d is the mean over joints of their distance for `hands`, and each joint's own for `joints`;
        both relative to the wrist, so that place does not count and orientation does. The wrist's
        own entry is that of the hand, because relative to itself it is always right.
    """
    ours = joints - joints[:, :, :1]
    theirs = witnesses - witnesses[:, :, :1]
    distances = (ours[:, :, None] - theirs[:, None]).norm(dim=-1)
    hands = torch.exp(-distances.mean(-1) / scale).mean(2)
    each = torch.exp(-distances / scale).mean(2)
    return Agreement(hands, torch.cat([hands[..., None], each[..., 1:]], dim=-1))
