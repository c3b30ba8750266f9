"""Rotation limits of finger joints: S2HAND's 45 ranges (Chen et al., CVPR 2021, table 6; E_J).

A rotation's axis-angle vector is decomposed along the joint's axes: roll about the bone (towards
the wrist), azimuth about the normal of the back of the hand, flexion about the axis the finger
bends by. On MANO's right hand these are x, y and z for every joint; flexion is the paper's pitch
with the opposite sign. The limits bound these components, not Euler angles.

Deviation: `ANATOMICAL`, the default, has wider ranges for eleven joints. Table 6 allows the
thumb's middle joint 22.5 degrees of flexion and knuckles 10 of hyperextension; 70 % of the open
hand's poses, drawn within textbook ranges, break one of its limits by more than 2 degrees.

Deviation: the open hand's fingers are not parallel to its axes as MANO's nearly are; there the
vector is decomposed along each joint's own axes (`joint_axes`), with the same ranges.
"""

import math
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.joints import FINGER_NAMES, MANO_JOINTS
from hand_pipeline.geometry.precision import full_precision

FLEXION_WEIGHT = 2.0  # of the excess of flexion; roll and azimuth 1
COUNTED_ROWS = 16  # rows of the mean: 15 joints and the fixed root, whose excess is 0


class Range(NamedTuple):
    """Lowest and highest value of the three components of a rotation vector, degrees."""

    roll: tuple[float, float]
    azimuth: tuple[float, float]
    flexion: tuple[float, float]


_STILL = (-5.0, 5.0)
_BENDS = (-10.0, 100.0)
_HINGE = Range(_STILL, _STILL, _BENDS)

LIMITS: MappingProxyType[str, Range] = MappingProxyType(
    {
        "thumb_1": Range((0.0, 90.0), (-22.5, 33.75), (-22.5, 22.5)),
        "thumb_2": Range(_STILL, _STILL, (-22.5, 22.5)),
        "thumb_3": Range(_STILL, _STILL, (-20.0, 100.0)),
        **{
            f"{finger}_1": Range(_STILL, (-10.0, 10.0), _BENDS)
            for finger in ("index", "middle", "ring")
        },
        "pinky_1": Range((-20.0, 5.0), (-10.0, 20.0), _BENDS),
        **{f"{finger}_{joint}": _HINGE for finger in FINGER_NAMES[1:] for joint in (2, 3)},
    }
)
"""Range of each finger joint by its name in `geometry.joints`, degrees: the paper's table 6."""

_BACK = (-30.0, 100.0)
ANATOMICAL: MappingProxyType[str, Range] = MappingProxyType(
    {
        **LIMITS,
        "index_1": Range(_STILL, (-30.0, 30.0), _BACK),
        **{f"{finger}_1": Range(_STILL, (-20.0, 20.0), _BACK) for finger in ("middle", "ring")},
        "pinky_1": Range((-20.0, 5.0), (-30.0, 30.0), _BACK),
        **{f"{f}_2": Range(_STILL, _STILL, (-10.0, 110.0)) for f in FINGER_NAMES[1:]},
        "thumb_1": Range((-17.0, 90.0), (-30.0, 33.75), (-45.0, 42.0)),
        "thumb_2": Range(_STILL, _STILL, (-22.5, 60.0)),
        "thumb_3": Range(_STILL, _STILL, _BACK),
    }
)
"""Ranges of active motion where they are wider than the paper's, degrees.

Knuckles: 30 of hyperextension, index and little finger 30 to either side, the others 20; middle
joints 110 of flexion; the thumb's MCP 60 of flexion, its last joint 30 backwards (Kapandji, The
Physiology of the Joints, vol. 1; American Academy of Orthopaedic Surgeons, Joint Motion, 1965: 45,
20, 100, 50). The thumb's root turns 17 about its axis (Cooney et al., J. Bone Joint Surg. 1981).
Its flexion counts from the rest hand, whose thumb lies 45 degrees to the fingers: raised square to
them it has extended by 45, across the palm it has flexed by 42.
"""


def limit_table(ranges: Literal["anatomical", "paper"] = "paper") -> Float[Tensor, "2 15 3"]:
    """Lowest and highest roll, azimuth, flexion of MANO's 15 finger joints, radians."""
    table = LIMITS if ranges == "paper" else ANATOMICAL
    rows = [table[name] for name in MANO_JOINTS[1:]]
    return torch.tensor(
        [[[math.radians(part[end]) for part in row] for row in rows] for end in (0, 1)]
    )


def joint_axes(
    flex_axes: Float[Tensor, "axes 3"], abd_axes: Float[Tensor, "axes 3"]
) -> Float[Tensor, "15 3 3"]:
    """Axes of roll, azimuth and flexion (rows) of MANO's 15 finger joints.

    Args:
        flex_axes, abd_axes: of a `ManoHand`; if empty, as for a MANO file, all axes are x, y, z.
    """
    if not len(flex_axes):
        return torch.eye(3).to(flex_axes).expand(15, 3, 3).clone()
    roll = torch.linalg.cross(abd_axes, flex_axes, dim=-1)
    return torch.stack([roll, abd_axes, flex_axes], dim=1)


@full_precision
def joint_limit_loss(
    rotations: Float[Tensor, "batch 15 3"],
    limits: Float[Tensor, "2 15 3"],
    axes: Float[Tensor, "15 3 3"],
) -> Float[Tensor, ""]:
    """Mean excess beyond the limits, radians; flexion counts twice (E_J).

    Args:
        rotations: full axis-angle of MANO's 15 finger joints, radians.
        limits: `limit_table()`.
        axes: `joint_axes(...)`.
    """
    angles = torch.einsum("jkc,bjc->bjk", axes, rotations)
    low, high = limits.to(angles)
    excess = (low - angles).clamp(min=0) + (angles - high).clamp(min=0)
    weighted = excess * excess.new_tensor([1.0, 1.0, FLEXION_WEIGHT])
    return weighted.sum() / (len(rotations) * COUNTED_ROWS * 3)
