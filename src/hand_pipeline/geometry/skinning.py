"""Linear blend skinning of MANO's tree: a wrist and five fingers, each a chain of three joints.

SMPL's equations 2 to 4 (Loper et al. 2015), which MANO shares; joints are turned a level of the
fingers at a time, all five together.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_FINGERS, _LEVELS = 5, 3  # MANO's order: wrist, then finger by finger from its base


class Bones(NamedTuple):
    """Where a pose takes MANO's 16 joints.

    Attributes:
        turns: rotation of each in space.
        places: in space, metres.
    """

    turns: Float[Tensor, "batch 16 3 3"]
    places: Float[Tensor, "batch 16 3"]


def pose_bones(
    mano_pose: Float[Tensor, "batch 16 3 3"], rest_joints: Float[Tensor, "batch 16 3"]
) -> Bones:
    """Joints of a pose (eq. 4).

    Args:
        mano_pose: each joint's rotation relative to its parent.
        rest_joints: of the flat hand, metres.
    """
    shape = (_FINGERS, _LEVELS)
    local, still = mano_pose[:, 1:].unflatten(1, shape), rest_joints[:, 1:].unflatten(1, shape)
    turn, place, above = mano_pose[:, None, 0], rest_joints[:, None, 0], rest_joints[:, None, 0]
    turns, places = [], []
    for level in range(_LEVELS):
        place = place + (turn @ (still[:, :, level] - above)[..., None])[..., 0]
        turn = turn @ local[:, :, level]
        above = still[:, :, level]
        turns.append(turn)
        places.append(place)
    return Bones(
        torch.cat([mano_pose[:, :1], torch.stack(turns, dim=2).flatten(1, 2)], dim=1),
        torch.cat([rest_joints[:, :1], torch.stack(places, dim=2).flatten(1, 2)], dim=1),
    )


def pose_feature(mano_pose: Float[Tensor, "batch 16 3 3"]) -> Float[Tensor, "batch 135"]:
    """What the pose-dependent shape is linear in (eq. 9): R - 1 of all joints but the wrist."""
    eye = torch.eye(3, dtype=mano_pose.dtype, device=mano_pose.device)
    return (mano_pose[:, 1:] - eye).flatten(1)


def skin(
    vertices: Float[Tensor, "batch vertices 3"],
    rest_joints: Float[Tensor, "batch 16 3"],
    bones: Bones,
    weights: Float[Tensor, "vertices 16"],
) -> Float[Tensor, "batch vertices 3"]:
    """Vertices of the posed hand (eq. 2).

    Args:
        vertices: of the flat hand, with the shape that the pose gives it.
        rest_joints: of the flat hand.
        bones: of the pose.
        weights: of each vertex, they sum to 1.
    """
    shifts = bones.places - (bones.turns @ rest_joints[..., None])[..., 0]
    rigid = torch.cat([bones.turns, shifts[..., None]], dim=-1).permute(0, 2, 3, 1)
    # coordinates first: whole rows of vertices are multiplied, not thousands of 3 x 3 matrices
    blended = (rigid.flatten(1, 2) @ weights.T).unflatten(1, (3, 4))
    x, y, z = vertices.mT[:, None].unbind(2)
    turned = blended[:, :, 0] * x + blended[:, :, 1] * y + blended[:, :, 2] * z
    return (turned + blended[:, :, 3]).mT
