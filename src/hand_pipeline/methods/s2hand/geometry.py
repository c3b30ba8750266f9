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
"""Focal length of the nominal camera, in image sides; about FreiHAND's."""
_PALM_TO_CAMERA = (math.pi, 0.0, 0.0)  # the fixed wrist rotation of the hand model


_SHOWN_OF_MEAN = 0.85
"""Longer side of a hand in the image over that of the mean hand seen flat: bent and turned hands
are shorter. Measured on the open hand's synthetic poses: 0.145 +- 0.027 of 0.171 m."""


class S2Estimate(NamedTuple):
    """A hand in the camera of its image, metres and pixels of the image.

    Attributes:
        mano_pose: rotation matrices of wrist and fingers, full pose.
        fingers: full axis-angle of MANO's 15 finger joints, radians.
        betas: shape coefficients.
        joints: OpenPose order.
        vertices: of the mesh, with the regressed scale.
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

    theta is the model's mean pose plus a sum of its principal components; M's own wrist rotation is
    fixed at half a turn about x, so that with R = 0 the back of the hand is up in the image.

    Deviation: with `translation="crop"` the network regresses t for a camera of focal length
    `FOCAL_SIDES` image sides centred on the image, and we convert it to the true K along the
    viewing ray. The paper's FreiHAND photos all have about that camera; crops do not, and a crop
    does not show which camera took it.

    Deviation: R is the regressed rotation after `initial_rotation`, which the paper lacks. If most
    hands point the same way, rotations relative to it stay far from half a turn, where axis-angles
    are discontinuous.

    Args:
        code: the regressed code.
        intrinsics: camera of the image.
        image_size: its side, px.
        mano: the hand model.
        translation: meaning of `code.translation`, see `S2HandConfig`.
        initial_rotation: R for a regressed rotation of 0, axis-angle, radians.
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


def depth_of_crop(mano: ManoHand, crop_scale: float) -> float:
    """Depth, in the nominal camera, at which hands fill a crop as its scale says; metres.

    Args:
        mano: the hand model.
        crop_scale: side of a crop over the longer side of the hand in it.
    """
    with torch.no_grad():
        pose = mano.full_pose(mano.template.new_zeros(1, 48), False)
        joints = mano(pose, mano.template.new_zeros(1, 10)).joints[0]
    longest = float((joints.amax(0) - joints.amin(0)).amax())
    return FOCAL_SIDES * crop_scale * _SHOWN_OF_MEAN * longest


def _in_true_camera(
    place: Float[Tensor, "batch 3"], intrinsics: Float[Tensor, "batch 3 3"], image_size: int
) -> Float[Tensor, "batch 3"]:
    """Convert a translation from the nominal to the true camera, with the same size and pixel."""
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    depth = place[:, 2] * focal / (FOCAL_SIDES * image_size)
    middle = torch.full_like(place[:, None, :2], image_size / 2)
    sideways = torch.cat([place[:, :2], torch.zeros_like(place[:, 2:])], dim=1)
    return unproject(middle, depth[:, None], intrinsics)[:, 0] + sideways
