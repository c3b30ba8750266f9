"""How the hand bends: axes, a relaxed mean pose, and the main directions of natural poses."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from scripts.build_open_hand.layout import INDEX, MIDDLE, PARENTS, PINKY, RING, THUMB, joints_of
from scripts.build_open_hand.straighten import unit

NUM_POSES = 2000
NUM_STORED_POSES = 500
POSE_NOISE_DEGREES = 0.5
FAN_DEGREES = {INDEX: 6.0, MIDDLE: 0.0, PINKY: -9.0, RING: -5.0}
"""How far each finger spreads when the open hand fans out; a positive turn is to the thumb."""


class BendAxes(NamedTuple):
    """Unit axes of the 15 finger joints in the rest frame, rows in MANO's order.

    A positive turn about `flexion` curls the finger towards the palm; about `abduction` it turns
    it in the plane of the nail.
    """

    flexion: Float[np.ndarray, "15 3"]
    abduction: Float[np.ndarray, "15 3"]


class PoseSpace(NamedTuple):
    """Principal components of natural poses, and some of these poses.

    Attributes:
        components: orthonormal rows, most varied first.
        coefficients: of sampled poses, relative to the mean pose of the model.
    """

    components: Float[np.ndarray, "45 45"]
    coefficients: Float[np.ndarray, "500 45"]


def bend_axes(
    directions: Float[np.ndarray, "16 3"], thumb_nail_normal: Float[np.ndarray, " 3"]
) -> BendAxes:
    """Axes across each bone: fingers bend away from the hand's back, the thumb from its nail."""
    flexion, abduction = np.zeros((15, 3)), np.zeros((15, 3))
    for finger in range(5):
        for joint in joints_of(finger):
            along = directions[joint]
            outward = np.array([0.0, 1.0, 0.0])
            if finger == THUMB:
                outward = unit(thumb_nail_normal - along * (thumb_nail_normal @ along))
            flexion[joint - 1] = unit(np.cross(along, -outward))
            abduction[joint - 1] = outward
    return BendAxes(flexion, abduction)


def relaxed_pose(flattening: Float[np.ndarray, "16 3 3"]) -> Float[np.ndarray, "15 3"]:
    """MakeHuman's rest pose as axis-angle rotations relative to the flat hand.

    Args:
        flattening: what turned each bone from rest to flat, of `straighten`.
    """
    relative = [flattening[PARENTS[joint]] @ flattening[joint].T for joint in range(1, 16)]
    return Rotation.from_matrix(np.stack(relative)).as_rotvec()


def sample_poses(
    axes: BendAxes, thumb_twist: Float[np.ndarray, " 3"], generator: np.random.Generator, count: int
) -> Float[np.ndarray, "poses 45"]:
    """Draw natural poses, axis-angle relative to the flat hand.

    One curl per hand, from open to fist, shared by the fingers up to a random difference; the end
    joints follow the middle ones; curled fingers spread less. All amounts are our choice, within
    the limits that anatomy books give (about 85, 95 and 60 degrees for a finger's joints).

    Args:
        thumb_twist: direction of the thumb's first bone, about which it opposes.
    """
    poses = np.zeros((count, 15, 3))
    curl = generator.beta(0.9, 1.6, count)
    for finger, fan in FAN_DEGREES.items():
        _bend_finger(poses, axes, finger, fan, curl, generator)
    _bend_thumb(poses, axes, thumb_twist, curl, generator)
    return poses.reshape(count, 45)


def fit_pose_space(
    poses: Float[np.ndarray, "poses 45"], mean_pose: Float[np.ndarray, "15 3"]
) -> PoseSpace:
    """Principal components of poses around their own mean; signs as LAPACK gives them."""
    _, _, components = np.linalg.svd(poses - poses.mean(axis=0), full_matrices=False)
    coefficients = (poses - mean_pose.ravel()) @ components.T
    return PoseSpace(components, coefficients[:NUM_STORED_POSES])


def _bend_finger(
    poses: Float[np.ndarray, "poses 15 3"],
    axes: BendAxes,
    finger: int,
    fan: float,
    hand_curl: Float[np.ndarray, " poses"],
    generator: np.random.Generator,
) -> None:
    """Fill in one finger's rotations; one finger in eight stays open whatever the others do."""
    count = len(poses)
    curl = np.clip(hand_curl + generator.normal(0, 0.22, count), 0, 1)
    curl *= generator.uniform(size=count) > 0.12
    base = -8 + 85 * curl + generator.normal(0, 7, count)
    middle = 95 * curl**1.15 + np.abs(generator.normal(0, 6, count))
    end = 0.6 * middle + generator.normal(0, 4, count)
    spread = fan * generator.uniform(-0.5, 1.6, count) * (1 - 0.7 * curl)
    spread += generator.normal(0, 2, count)
    for joint, degrees in zip(joints_of(finger), (base, middle, end)):
        poses[:, joint - 1] = np.deg2rad(degrees)[:, None] * axes.flexion[joint - 1]
    first = joints_of(finger)[0] - 1
    poses[:, first] += np.deg2rad(spread)[:, None] * axes.abduction[first]


def _bend_thumb(
    poses: Float[np.ndarray, "poses 15 3"],
    axes: BendAxes,
    twist_axis: Float[np.ndarray, " 3"],
    hand_curl: Float[np.ndarray, " poses"],
    generator: np.random.Generator,
) -> None:
    """Fill in the thumb's rotations: flexion, opposition at its base, and extension when open."""
    count = len(poses)
    curl = np.clip(0.7 * hand_curl + generator.normal(0, 0.25, count), 0, 1)
    out = (1 - curl) * generator.beta(1.0, 1.6, count)
    flexions = (
        25 * curl - 45 * out + generator.normal(0, 6, count),
        35 * curl - 8 * out + generator.normal(-1, 8, count),
        50 * curl - 15 * out + generator.normal(-2, 10, count),
    )
    for joint, degrees in zip(joints_of(THUMB), flexions):
        poses[:, joint - 1] = np.deg2rad(degrees)[:, None] * axes.flexion[joint - 1]
    first = joints_of(THUMB)[0] - 1
    abduction = generator.normal(0, 10, count) - 15 * curl
    twist = generator.normal(5, 6, count) + 20 * curl
    poses[:, first] += np.deg2rad(abduction)[:, None] * axes.abduction[first]
    poses[:, first] -= np.deg2rad(twist)[:, None] * twist_axis
