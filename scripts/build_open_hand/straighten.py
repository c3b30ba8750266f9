"""One frame and one pose for every person: the palm's axes as MANO has them, fingers flat."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from scripts.build_open_hand.arm import Arm
from scripts.build_open_hand.layout import (
    INDEX,
    MAKEHUMAN_FINGER,
    MIDDLE,
    NUM_JOINTS,
    PINKY,
    RING,
    THUMB,
    joints_of,
)

SPREAD_DEGREES = {INDEX: 6, MIDDLE: 0, PINKY: -9, RING: -4}
"""In-plane angle of a flat finger from the middle one, towards the thumb."""
CURVE_DEGREES = (3, 5, 6)
"""Slight natural curve of a flat finger's three bones."""


class Skeleton(NamedTuple):
    """Joints (MANO's order), fingertips (in the order of MANO's fingers) and the elbow."""

    joints: Float[np.ndarray, "16 3"]
    tips: Float[np.ndarray, "5 3"]
    elbow: Float[np.ndarray, " 3"]

    def chain(self, finger: int) -> Float[np.ndarray, "4 3"]:
        """A finger's joints, base first, and its tip."""
        return np.vstack([self.joints[joints_of(finger)], self.tips[finger]])


class FlatHand(NamedTuple):
    """A straightened arm; `rotations` turned each joint's bone from its rest to its flat pose."""

    positions: Float[np.ndarray, "arm 3"]
    joints: Float[np.ndarray, "16 3"]
    tips: Float[np.ndarray, "5 3"]
    rotations: Float[np.ndarray, "16 3 3"]


def find_skeleton(arm: Arm, positions: Float[np.ndarray, "arm 3"]) -> Skeleton:
    """Joints of a morphed arm: the centres of MakeHuman's marker cubes."""

    def centre(name: str) -> Float[np.ndarray, " 3"]:
        return positions[arm.markers[name]].mean(axis=0)

    joints, tips = np.zeros((NUM_JOINTS, 3)), np.zeros((5, 3))
    joints[0] = centre("hand")
    for finger, number in MAKEHUMAN_FINGER.items():
        for segment, joint in enumerate(joints_of(finger), start=1):
            joints[joint] = centre(f"finger-{number}-{segment}")
        tips[finger] = centre(f"finger-{number}-4")
    return Skeleton(joints, tips, centre("elbow"))


def to_palm_frame(arm: Arm, positions: Float[np.ndarray, "arm 3"]) -> Float[np.ndarray, "arm 3"]:
    """Move an arm to MANO's axes: wrist at 0, fingers along -x, back of the hand +y, thumb +z."""
    joints = find_skeleton(arm, positions).joints
    x = unit(joints[0] - joints[joints_of(MIDDLE)[0]])
    across = joints[joints_of(INDEX)[0]] - joints[joints_of(PINKY)[0]]
    z = unit(across - x * (across @ x))
    return (positions - joints[0]) @ np.stack([x, np.cross(z, x), z]).T


def flat_directions(skeleton: Skeleton) -> Float[np.ndarray, "16 3"]:
    """Where each joint's bone points in the flat hand (unit vectors; the wrist has none).

    Fingers keep 60 % of the spread of `skeleton`'s rest pose; the thumb keeps its place and is
    straightened by 45 %. All people get the same directions, so their shapes differ in no pose.
    """
    directions = np.zeros((NUM_JOINTS, 3))
    for finger, nominal in SPREAD_DEGREES.items():
        whole = _whole(skeleton, finger)
        spread = 0.6 * np.arctan2(whole[2], -whole[0]) + 0.4 * np.deg2rad(nominal)
        for joint, curve in zip(joints_of(finger), np.deg2rad(CURVE_DEGREES)):
            in_plane = np.cos(curve)
            directions[joint] = (
                -np.cos(spread) * in_plane,
                -np.sin(curve),
                np.sin(spread) * in_plane,
            )
    whole = _whole(skeleton, THUMB)
    for joint, bone in zip(joints_of(THUMB), np.diff(skeleton.chain(THUMB), axis=0)):
        directions[joint] = unit(0.55 * unit(bone) + 0.45 * whole)
    return directions


def straighten(
    arm: Arm,
    positions: Float[np.ndarray, "arm 3"],
    directions: Float[np.ndarray, "16 3"],
    lengths: Float[np.ndarray, " 5"] | None = None,
    thicknesses: Float[np.ndarray, " 5"] | None = None,
) -> FlatHand:
    """Turn every finger bone to its flat direction by linear blend skinning.

    Args:
        positions: an arm in the palm frame, metres.
        directions: of `flat_directions`.
        lengths: factor on each finger's length; default 1.
        thicknesses: factor on each finger's thickness; default 1.
    """
    lengths = np.ones(5) if lengths is None else lengths
    thicknesses = np.ones(5) if thicknesses is None else thicknesses
    skeleton = find_skeleton(arm, positions)
    rotations = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    transforms = rotations.copy()  # rotation and stretch of the skin around each joint
    joints, tips = skeleton.joints.copy(), skeleton.tips.copy()
    for finger in range(5):
        place = skeleton.joints[joints_of(finger)[0]]
        for joint, bone in zip(joints_of(finger), np.diff(skeleton.chain(finger), axis=0)):
            rotations[joint] = shortest_rotation(bone, directions[joint])
            joints[joint] = place
            place = place + rotations[joint] @ bone * lengths[finger]
            along = np.outer(unit(bone), unit(bone))
            stretch = (
                thicknesses[finger] * np.eye(3) + (lengths[finger] - thicknesses[finger]) * along
            )
            transforms[joint] = rotations[joint] @ stretch
        tips[finger] = place
    from_joints = positions[:, None] - skeleton.joints
    flat = np.einsum("vj,jab,vjb->va", arm.weights, transforms, from_joints) + arm.weights @ joints
    return FlatHand(flat, joints, tips, rotations)


def shortest_rotation(
    source: Float[np.ndarray, " 3"], target: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 3"]:
    """The rotation that turns `source`'s direction into `target`'s by the smallest angle."""
    source, target = unit(source), unit(target)
    axis = np.cross(source, target)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    angle = np.arctan2(sine, source @ target)
    return Rotation.from_rotvec(axis / sine * angle).as_matrix()


def unit(vector: Float[np.ndarray, " 3"]) -> Float[np.ndarray, " 3"]:
    """The vector's direction."""
    return vector / np.linalg.norm(vector)


def _whole(skeleton: Skeleton, finger: int) -> Float[np.ndarray, " 3"]:
    """Direction of a finger from its base joint to its tip."""
    return unit(skeleton.tips[finger] - skeleton.joints[joints_of(finger)[0]])
