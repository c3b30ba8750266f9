"""Confidence of a hand: its agreement with other samples of the same network."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.procrustes import procrustes_align

SCALE = 0.01
"""Distance in metres at which agreement is 1 / e; our choice: an error that reports call large."""


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

    It is high for hypotheses near the centre of the network's distribution, and low for all if the
    distribution is wide, so it ranks the hypotheses of an image and compares images.

    Args:
        joints: metres, any frame.
        witnesses: other samples for the same images, in the same frame.
        scale: metres.

    Returns:
        For `hands`, d is the mean distance over joints; for `joints`, each joint's own. Each
        hypothesis is brought nearest to each witness by a similarity first, as to the truth where
        its error is measured (PA-MPJPE): place, orientation and size do not count.
    """
    ours = joints[:, :, None].expand(-1, -1, witnesses.shape[1], -1, -1)
    theirs = witnesses[:, None].expand_as(ours)
    aligned = procrustes_align(ours.flatten(0, 2), theirs.flatten(0, 2), False)
    distances = (aligned - theirs.flatten(0, 2)).norm(dim=-1).unflatten(0, ours.shape[:3])
    hands = torch.exp(-distances.mean(-1) / scale).mean(2)
    return Agreement(hands, torch.exp(-distances / scale).mean(2))
