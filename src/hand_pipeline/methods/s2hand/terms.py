"""S2HAND's loss terms between an estimate and its supervision.

All pixels are those of a 224 px image. `methods.s2hand.config` has the total loss.
"""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.losses.keypoint import heatmap_loss, joint_3d_loss, joint_3d_square_loss
from hand_pipeline.losses.reduction import masked_mean, weighted_mean
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.geometry import S2Estimate
from hand_pipeline.methods.s2hand.hand_prior import mean_bone_length, scale_loss, shape_loss
from hand_pipeline.methods.s2hand.hourglass import STEM_STRIDE
from hand_pipeline.methods.s2hand.joint_limits import joint_axes, joint_limit_loss, limit_table
from hand_pipeline.methods.s2hand.laplacian import laplacian_loss
from hand_pipeline.methods.s2hand.photometric import (
    mean_colour_loss,
    pixel_loss,
    sample_confidence,
    ssim_loss,
)
from hand_pipeline.methods.s2hand.renderer import Rendered
from hand_pipeline.methods.s2hand.weighted_keypoint import (
    bone_direction_loss,
    joint_location_loss,
    joint_weights,
)


class HandPrior(nn.Module):
    """Constants that the terms need, on the method's device; not in checkpoints.

    Args:
        mano: the hand model.
        bone_length: of the data set, metres; None: the hand model's (`S2HandConfig`).
        limits: ranges of the finger joints.
    """

    axes: Tensor
    faces: Tensor
    limits: Tensor
    joint_weights: Tensor
    bone_length: Tensor

    def __init__(
        self,
        mano: ManoHand,
        bone_length: float | None,
        limits: Literal["anatomical", "paper"],
    ) -> None:
        super().__init__()
        known = bone_length is not None
        values = {
            "axes": joint_axes(mano.flex_axes, mano.abd_axes),
            "faces": mano.faces,
            "bone_length": torch.tensor(bone_length) if known else mean_bone_length(mano),
            "limits": limit_table(limits),
            "joint_weights": joint_weights(torch.ones(())),
        }
        for name, value in values.items():
            self.register_buffer(name, value, persistent=False)


def branch_loss(stacks: list[Float[Tensor, "batch 21 2"]], target: Keypoints) -> Float[Tensor, ""]:
    """E_2D: the sum over the 2D branch's stacks, each weighted by confidence, without k_j.

    Deviation: the public code takes the plain distance; we take smooth L1 "as eq. 3", as the paper.
    """
    each = [joint_location_loss(joints, target.points, target.confidence) for joints in stacks]
    return torch.stack(each).sum()


def branch_heatmap_loss(
    logits: list[Float[Tensor, "batch 21 rows columns"]], target: Keypoints, unit: float
) -> Float[Tensor, ""]:
    """The sum over the stacks of how far each heat map is from a Gaussian at the detected joint.

    Args:
        logits: of each stack.
        target: px of a 224 px image.
        unit: px of a 224 px image in a pixel of the network's.
    """
    cells = target.points / (unit * STEM_STRIDE)
    return torch.stack([heatmap_loss(maps, cells, target.confidence) for maps in logits]).sum()


def geometry_terms(
    hand: S2Estimate,
    projected: Float[Tensor, "batch 21 2"],
    labels: HandBatch,
    target: Keypoints,
    prior: HandPrior,
    cfg: S2HandConfig,
) -> dict[str, Tensor]:
    """E_loc, E_ori, E_beta, E_s, E_J, and if they have a weight the Laplacian; the 3D joints.

    Args:
        hand: the estimate.
        projected: its joints, px of a 224 px image.
        labels: used only under full supervision.
        target: keypoints that supervise the 2D terms, px of a 224 px image.
        prior: constants of the hand model.
        cfg: which terms, and their readings.
    """
    points, confidence, _ = target
    weights = prior.joint_weights if cfg.keypoint_weights else None
    terms = {
        "joint_location": joint_location_loss(projected, points, confidence, weights),
        "bone_direction": bone_direction_loss(projected, points, confidence),
        "shape": shape_loss(hand.betas),
        "scale": scale_loss(hand.joints, prior.bone_length),
        "joint_limits": joint_limit_loss(hand.fingers, prior.limits, prior.axes),
    }
    if cfg.supervision == "full":
        terms |= spatial_terms(hand.joints, labels.joints_3d, labels.has_joints_3d)
    if cfg.w_laplacian > 0:
        terms["laplacian"] = laplacian_loss(hand.vertices, prior.faces)
    return terms


def spatial_terms(
    joints: Float[Tensor, "batch 21 3"],
    truth: Float[Tensor, "batch 21 3"],
    valid: Bool[Tensor, "batch 21"],
) -> dict[str, Tensor]:
    """What full supervision adds: eq. 16, and in its place the hand and its depth apart.

    Deviation: eq. 16 compares joints in the camera. A photo hardly tells the depth of a hand, so
    nearly all of that term is one offset, and its gradient says little about the pose; by default
    we take the mean absolute difference relative to the wrist, and the wrist's depth for itself.

    Args:
        joints: estimated, camera frame, metres.
        truth: labelled, camera frame, metres.
        valid: which joints are labelled.
    """
    depth = (joints[:, 0, 2] - truth[:, 0, 2]).abs()
    return {
        "joints_3d": joint_3d_square_loss(joints, truth, valid),
        "wrist_relative": joint_3d_loss(joints, truth, valid, root=0),
        "root_depth": masked_mean(depth, valid[:, 0]),
    }


def trust_in_colours(target: Keypoints, cfg: S2HandConfig) -> Float[Tensor, " batch"]:
    """C_b of each image."""
    return sample_confidence(target.confidence, cfg.least_confidence)


def picture_terms(
    drawn: Rendered,
    photo: Float[Tensor, "batch 3 size size"],
    trust: Float[Tensor, " batch"],
    cfg: S2HandConfig,
) -> dict[str, Tensor]:
    """E_pixel, the mean colour's term and, if it has a weight, E_SSIM.

    Args:
        drawn: the render.
        photo: RGB, 0 to 1.
        trust: C_b.
        cfg: the weights.
    """
    shown = drawn.mask[:, None]
    cut, render = photo * shown, drawn.over(photo) * shown
    terms = {
        "pixel": pixel_loss(render, cut, drawn.mask, trust),
        "mean_colour": mean_colour_loss(render, cut, drawn.mask, trust),
    }
    if cfg.w_ssim > 0:
        terms["ssim"] = ssim_loss(render, cut)
    return terms


def seen_distance(joints: Float[Tensor, "batch 21 2"], target: Keypoints) -> Float[Tensor, ""]:
    """Mean distance from the supervision's joints, weighted by their confidence; detached."""
    distance = (joints - target.points).norm(dim=-1)
    return weighted_mean(distance, target.confidence).detach()
