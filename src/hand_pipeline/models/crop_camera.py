"""A hand regressed in its crop, placed in space: the camera parameters of PyMAF and MaskHand."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.camera import (
    project,
    translation_to_weak_perspective,
    weak_perspective_to_translation,
)
from hand_pipeline.geometry.mano import ManoHand

SCALE_UNIT = 10.0
"""Half crops a metre at a camera scale of 1 (PyMAF-X multiplies hand scales by 10)."""
INITIAL_SCALE = 0.75  # our choice: a hand of 16 cm fills 60 % of its crop
LEAST_SCALE = 0.05  # a hand of 1 cm in a crop of 100 px: below it the depth would run to infinity
LEAST_DEPTH = 0.05  # metres; nearer points are projected as if they were here


class HandEstimate(NamedTuple):
    """A hand in the camera of its crop, metres and pixels of the crop.

    Attributes:
        mano_pose: rotations of wrist and fingers, full pose.
        betas: shape coefficients.
        camera: weak-perspective scale in units of `SCALE_UNIT`, as regressed (may be negative), and
            where the camera joint appears in the crop, -1 to 1.
        joints: camera frame, metres, OpenPose order.
        vertices: camera frame, metres.
        joints_2d: projected `joints`.
    """

    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]
    joints: Float[Tensor, "batch 21 3"]
    vertices: Float[Tensor, "batch 778 3"]
    joints_2d: Float[Tensor, "batch 21 2"]


def place_hand(
    mano_pose: Float[Tensor, "batch 16 3 3"],
    betas: Float[Tensor, "batch 10"],
    camera: Float[Tensor, "batch 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    mano: ManoHand,
    image_size: int,
    camera_joint: int,
) -> HandEstimate:
    """The hand of these parameters, in single precision even under autocast.

    Args:
        mano_pose: full pose, rotation matrices.
        betas: shape.
        camera: scale in units of `SCALE_UNIT`, and where `camera_joint` appears, -1 to 1.
        intrinsics: camera of the crop.
        mano: the hand model.
        image_size: side of the crop, px.
        camera_joint: joint that the camera places, OpenPose order.
    """
    with torch.autocast(mano_pose.device.type, enabled=False):
        mano_pose, betas, camera = mano_pose.float(), betas.float(), camera.float()
        hand = mano(mano_pose, betas)
        scale = camera[:, :1].clamp(min=LEAST_SCALE) * SCALE_UNIT
        place = weak_perspective_to_translation(
            torch.cat([scale, camera[:, 1:]], dim=-1), intrinsics, image_size
        )
        shift = (place - hand.joints[:, camera_joint])[:, None]
        joints = hand.joints + shift
        return HandEstimate(
            mano_pose=mano_pose,
            betas=betas,
            camera=camera,
            joints=joints,
            vertices=hand.vertices + shift,
            joints_2d=project_in_front(joints, intrinsics),
        )


def camera_of(
    joints: Float[Tensor, "batch 21 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    image_size: int,
    camera_joint: int,
) -> Float[Tensor, "batch 3"]:
    """The `camera` that `place_hand` puts a hand with these joints by (camera frame, metres)."""
    camera = translation_to_weak_perspective(joints[:, camera_joint], intrinsics, image_size)
    return torch.cat([camera[:, :1] / SCALE_UNIT, camera[:, 1:]], dim=-1)


def project_in_front(
    points: Float[Tensor, "batch points 3"], intrinsics: Float[Tensor, "batch 3 3"]
) -> Float[Tensor, "batch points 2"]:
    """Pixels of points, those behind the camera or at it as if at `LEAST_DEPTH`."""
    depth = points[..., 2:].clamp(min=LEAST_DEPTH)
    return project(torch.cat([points[..., :2], depth], dim=-1), intrinsics)
