"""Loss terms and monitors that supervise a MANO hand regressed from its crop."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.losses.keypoint import heatmap_loss, joint_2d_loss, joint_3d_loss
from hand_pipeline.losses.mano import (
    betas_loss,
    camera_loss,
    pose_loss,
    positive_scale_loss,
    vertex_loss,
)
from hand_pipeline.models.crop_camera import HandEstimate, camera_of
from hand_pipeline.models.keypoint_head import OwnJoints

_SPREAD = 0.5  # cells, of learnt heat maps: the means of wider ones are off at the border


def hand_terms(
    hand: HandEstimate, labels: HandBatch, image_size: int, camera_joint: int, root: int | None
) -> dict[str, Tensor]:
    """Unweighted loss terms between an estimate and its labels; missing labels add nothing.

    Args:
        hand: the estimate, in the camera of `labels.intrinsics`.
        labels: after augmentation.
        image_size: side of the network's input, px.
        camera_joint: joint whose position the camera parameters encode.
        root: joint that `vertices` and `joints_3d` are relative to; None: absolute.

    Returns:
        `mano_pose`, `mano_betas`, `mano_camera`, `vertices`, `local_vertices` (in the wrist's
        frame), `joints_3d`, `joints_2d`, `positive_scale`.
    """
    has_place = labels.has_joints_3d[:, camera_joint]
    camera = camera_of(labels.joints_3d, labels.intrinsics, image_size, camera_joint)
    # For an unlabelled hand (depth 0) it is infinite, and 0 x infinity makes the gradient NaN.
    camera = torch.where(has_place[:, None], camera, 0.0)
    origin = None if root is None else hand.joints[:, root]
    target_origin = None if root is None else labels.joints_3d[:, root]
    placed = labels.has_vertices
    if root is not None:
        placed = placed & labels.has_joints_3d[:, root]
    return {
        "mano_pose": pose_loss(hand.mano_pose, labels.mano_pose, labels.has_mano),
        "mano_betas": betas_loss(hand.betas, labels.betas, labels.has_mano),
        "mano_camera": camera_loss(hand.camera, camera, has_place),
        "vertices": vertex_loss(hand.vertices, labels.vertices, placed, origin, target_origin),
        "local_vertices": vertex_loss(
            in_wrist_frame(hand.vertices, hand.joints, hand.mano_pose),
            in_wrist_frame(labels.vertices, labels.joints_3d, labels.mano_pose),
            labels.has_vertices & labels.has_mano & labels.has_joints_3d[:, 0],
        ),
        "joints_3d": joint_3d_loss(hand.joints, labels.joints_3d, labels.has_joints_3d, root),
        "joints_2d": joint_2d_loss(
            hand.joints_2d, labels.joints_2d, labels.has_joints_2d, image_size
        ),
        "positive_scale": positive_scale_loss(hand.camera[:, 0]),
    }


def own_joints_loss(
    own: OwnJoints, joints_2d: Float[Tensor, "batch 21 2"], labelled: Bool[Tensor, "batch 21"]
) -> Float[Tensor, ""]:
    """Divergence of heat maps from peaks at the labels, nats a joint.

    Args:
        own: of a network's keypoint head.
        joints_2d: in the units of `own.points`; those outside the image count for nothing.
        labelled: which of them are.
    """
    cells = (joints_2d + 1) / 2 * own.logits.shape[-1]
    return heatmap_loss(own.logits, cells, labelled.to(cells), _SPREAD)


def hand_monitors(hand: HandEstimate, labels: HandBatch) -> dict[str, Tensor]:
    """Detached errors of a training batch, mm and px; meaningful if all its hands are labelled."""
    wrist_relative = hand.vertices - hand.joints[:, :1]
    truth = labels.vertices - labels.joints_3d[:, :1]
    return {
        "rr_mpvpe_mm": (wrist_relative - truth).norm(dim=-1).mean().detach() * 1000,
        "pixels_2d": (hand.joints_2d - labels.joints_2d).norm(dim=-1).mean().detach(),
    }


def in_wrist_frame(
    vertices: Float[Tensor, "batch 778 3"],
    joints: Float[Tensor, "batch 21 3"],
    mano_pose: Float[Tensor, "batch 16 3 3"],
) -> Float[Tensor, "batch 778 3"]:
    """Vertices relative to the wrist joint, with the global orientation undone."""
    with torch.autocast(vertices.device.type, enabled=False):
        return (vertices - joints[:, :1]) @ mano_pose[:, 0]
