"""Priors on a hand's size, shape and colours (S2HAND, Chen et al. 2021).

The regularisation of section 3.4 (E_regu), without the joint limits (`joint_limits`).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.joints import FINGERS, MANO_JOINTS
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.losses.reduction import weighted_mean

OUTLIER = 2.0  # standard deviations; the paper's A, value from its code


def shape_loss(betas: Float[Tensor, "batch 10"]) -> Float[Tensor, ""]:
    """Mean squared shape coefficient, in squared standard deviations (E_beta)."""
    return betas.square().mean()


def mean_bone_length(mano: ManoHand) -> Float[Tensor, ""]:
    """Length of the middle finger's first bone in the mean shape, metres.

    The open hand's is 34.3 mm; over shapes it has a standard deviation of 1.6 mm.
    """
    rest = mano.rest_joints(mano.template.new_zeros(1, 10))[0]
    first, second = (MANO_JOINTS.index(f"middle_{joint}") for joint in (1, 2))
    return (rest[first] - rest[second]).norm()


def scale_loss(
    joints: Float[Tensor, "batch 21 3"], length: float | Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Mean error of the length of the middle finger's first bone, metres (E_s).

    A photo alone cannot distinguish a large hand from a near one; a bone of known length can.

    Args:
        joints: OpenPose order, metres.
        length: of the bone in the data set, metres.
    """
    first, second = FINGERS["middle"][:2]
    return ((joints[:, first] - joints[:, second]).norm(dim=-1) - length).abs().mean()


def texture_loss(
    colours: Float[Tensor, "batch vertices 3"], confidence: Float[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Mean distance from the mean colour, of colours more than 2 deviations away from it (E_tex).

    Mean and (unbiased) deviation are over the hand, for each channel; weighted by C_b^2.

    Deviation: in the code the means broadcast against the wrong axis, so that each hand's colours
    are compared with the mean and deviation of every hand of the batch, and the weight is 2 C_b
    instead of C_b^2; we follow the paper.

    Args:
        colours: as regressed, before the tanh.
        confidence: C_b.
    """
    mean, deviation = colours.mean(1), _deviation(colours)
    distance = (colours - mean[:, None]).abs()
    outlying = torch.where(distance > OUTLIER * deviation[:, None], distance, 0.0).mean((1, 2))
    return weighted_mean(outlying, confidence.square())


def _deviation(colours: Float[Tensor, "batch vertices 3"]) -> Float[Tensor, "batch 3"]:
    """Standard deviation, without gradient (undefined for a hand of one colour): a threshold."""
    return colours.detach().std(1)
