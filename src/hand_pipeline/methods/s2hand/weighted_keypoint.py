"""Losses between estimated 2D joints and detected ones, weighted by the detector's confidence.

S2HAND (Chen et al., CVPR 2021), equations 2 to 4 and the 2D branch. Pixels are those of the
paper's 224 px input; scale others to it, because the smooth distance depends on them.
"""

from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.joints import BONES, TIPS
from hand_pipeline.losses.reduction import weighted_mean

KNEE = 5.0  # px at which the smooth L1 distance changes from quadratic to linear
WRIST_WEIGHT, TIP_WEIGHT = 2.0, 1.5
_SHORT = 1e-4  # px, added to a bone's length


def smooth_distance(
    first: Float[Tensor, "*batch 2"], second: Float[Tensor, "*batch 2"]
) -> Float[Tensor, "*batch"]:
    """Smooth L1 of the distance, px: `d^2 / 10` below 5 px, `d - 2.5` above."""
    distance = (first - second).norm(dim=-1)
    near = distance.clamp(max=KNEE)
    return near.square() / (2 * KNEE) + (distance - near)


def joint_weights(like: Tensor) -> Float[Tensor, "21"]:
    """k_j of S2HAND's code: 2 for the wrist, 1.5 for the tips, else 1; OpenPose order."""
    weights = like.new_ones(21)
    weights[0] = WRIST_WEIGHT
    weights[list(TIPS)] = TIP_WEIGHT
    return weights


def joint_location_loss(
    joints: Float[Tensor, "batch 21 2"],
    detected: Float[Tensor, "batch 21 2"],
    confidence: Float[Tensor, "batch 21"],
    weights: Float[Tensor, "21"] | None = None,
) -> Float[Tensor, ""]:
    """Mean distance of joints from where they were detected, weighted by squared confidence.

    S2HAND eq. 3 (E_loc), and the 2D branch's loss (E_2D): one ratio over the whole batch,
    `sum H(d) (k c)^2 / sum (k c)^2`; 0 where nothing was detected.

    Deviation: the paper has no k_j; its code weighs wrist and tips more (`joint_weights`).

    Args:
        joints: projected or estimated, px.
        detected: px; any finite value where its confidence is 0.
        confidence: 0 to 1.
        weights: k_j; None: all 1.
    """
    weight = confidence if weights is None else confidence * weights
    return weighted_mean(smooth_distance(joints, detected), weight.square())


def bone_direction_loss(
    joints: Float[Tensor, "batch 21 2"],
    detected: Float[Tensor, "batch 21 2"],
    confidence: Float[Tensor, "batch 21"],
) -> Float[Tensor, ""]:
    """Mean squared difference of bone directions in the image (S2HAND eq. 4, E_ori).

    `c_parent c_child |n(u) - n(p)|^2` with `n(v) = v / (|v| + 1e-4)`: a plain mean over batch and
    20 bones, so that an image with few detections counts less.
    """
    parents, children = ([bone[end] for bone in BONES] for end in (0, 1))
    difference = _directions(joints) - _directions(detected)
    weight = confidence[:, parents] * confidence[:, children]
    return (weight * difference.square().sum(-1)).mean()


def consistency_loss(
    estimated: Float[Tensor, "batch 21 2"], projected: Float[Tensor, "batch 21 2"]
) -> Float[Tensor, ""]:
    """Mean smooth distance between the 2D branch's joints and the projected ones (E_con).

    Independent of detections; both branches get the gradient.
    """
    return smooth_distance(estimated, projected).mean()


def _directions(joints: Float[Tensor, "batch 21 2"]) -> Float[Tensor, "batch 20 2"]:
    parents, children = ([bone[end] for bone in BONES] for end in (0, 1))
    bones = joints[:, children] - joints[:, parents]
    return bones / (bones.norm(dim=-1, keepdim=True) + _SHORT)
