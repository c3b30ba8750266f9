"""From S2HAND's regressed code to a hand in the camera (Chen et al., CVPR 2021, section 3.1)."""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.camera import unproject
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.methods.s2hand.heads import HandCode
from hand_pipeline.models.crop_camera import project_in_front

FOCAL_SIDES = 480 / 224
"""Focal length, in sides of the image, for which depths are regressed: FreiHAND's, about."""
_PALM_TO_CAMERA = (math.pi, 0.0, 0.0)  # the hand model's own wrist rotation, never changed


class S2Estimate(NamedTuple):
    """A hand in the camera of its image, metres and pixels of the image.

    Attributes:
        mano_pose: rotations of wrist and fingers, full pose.
        fingers: full axis-angle of MANO's 15 finger joints, radians.
        betas: shape coefficients.
        joints: OpenPose order.
        vertices: of the mesh; the model's, times the regressed scale.
        joints_2d: projected `joints`.
    """

    mano_pose: Float[Tensor, "batch 16 3 3"]
    fingers: Float[Tensor, "batch 15 3"]
    betas: Float[Tensor, "batch 10"]
    joints: Float[Tensor, "batch 21 3"]
    vertices: Float[Tensor, "batch 778 3"]
    joints_2d: Float[Tensor, "batch 21 2"]


@full_precision
def pose_hand(
    code: HandCode,
    intrinsics: Float[Tensor, "batch 3 3"],
    image_size: int,
    mano: ManoHand,
    translation: Literal["camera", "crop"],
    initial_rotation: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> S2Estimate:
    """The hand of a code: `t + |s| R M(theta, beta)`, R about the model's origin, not the wrist.

    theta is the model's mean pose and a sum of its principal components; M's own wrist rotation is
    half a turn about x throughout, so that at zero the back of the hand is up in the picture.

    Deviation: with `translation="crop"` the network regresses t for a camera of focal length
    `FOCAL_SIDES` image sides that looks at the image's middle, and we carry it to the true K along
    the viewing ray; the paper's FreiHAND photos all have about that camera, crops do not, and
    nothing in a crop tells which camera saw it.

    Deviation: R is the regressed rotation after `initial_rotation`, which the paper lacks. Where
    all hands point the same way, a rotation counted from there stays clear of half a turn, where
    axis-angles jump.

    Args:
        code: as regressed.
        intrinsics: camera of the image.
        image_size: its side, px.
        mano: the hand model.
        translation: how `code.translation` is meant.
        initial_rotation: R of a regressed rotation of 0, axis-angle, radians.
    """
    components = mano.hands_components[: code.pose.shape[1]]
    fingers = mano.hands_mean + (code.pose @ components).unflatten(1, (15, 3))
    root = axis_angle_to_matrix(fingers.new_tensor(_PALM_TO_CAMERA)).expand(len(fingers), 1, 3, 3)
    local = torch.cat([root, axis_angle_to_matrix(fingers)], dim=1)
    hand = mano(local, code.betas)
    turn = axis_angle_to_matrix(code.rotation)
    turn = turn @ axis_angle_to_matrix(turn.new_tensor(initial_rotation))
    place = code.translation
    if translation == "crop":
        place = _in_true_camera(place, intrinsics, image_size)
    scale = code.scale.abs()[..., None]
    vertices = scale * (hand.vertices @ turn.mT) + place[:, None]
    joints = scale * (hand.joints @ turn.mT) + place[:, None]
    return S2Estimate(
        mano_pose=torch.cat([turn[:, None] @ local[:, :1], local[:, 1:]], dim=1),
        fingers=fingers,
        betas=code.betas,
        joints=joints,
        vertices=vertices,
        joints_2d=project_in_front(joints, intrinsics),
    )


def _in_true_camera(
    place: Float[Tensor, "batch 3"], intrinsics: Float[Tensor, "batch 3 3"], image_size: int
) -> Float[Tensor, "batch 3"]:
    """A place regressed for the nominal camera: as large and at the same pixel in the true one."""
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    depth = place[:, 2] * focal / (FOCAL_SIDES * image_size)
    middle = torch.full_like(place[:, None, :2], image_size / 2)
    sideways = torch.cat([place[:, :2], torch.zeros_like(place[:, 2:])], dim=1)
    return unproject(middle, depth[:, None], intrinsics)[:, 0] + sideways
