"""Pose correctives: what linear blend skinning loses at a bent joint, regressed on its rotation."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from scripts.build_open_hand.layout import NUM_JOINTS, NUM_VERTICES, PARENTS
from scripts.build_open_hand.pose import BendAxes

POSES_PER_JOINT = 60
STRENGTH = 0.8
"""Share of the difference to dual-quaternion skinning that is corrected; all of it bulges."""
MAX_OFFSET = 0.006  # metres
RIDGE = 1e-2


def fit_posedirs(
    template: Float[np.ndarray, "778 3"],
    joints: Float[np.ndarray, "16 3"],
    weights: Float[np.ndarray, "778 16"],
    axes: BendAxes,
    generator: np.random.Generator,
) -> Float[np.ndarray, "778 3 135"]:
    """Linear maps from vec(R - I) of each finger joint to offsets of the template, metres.

    Dual-quaternion skinning (Kavan et al. 2007) keeps the volume of a bent joint; the offsets make
    linear blend skinning follow it.
    """
    posedirs = np.zeros((NUM_VERTICES, 3, 9 * (NUM_JOINTS - 1)))
    for joint in range(1, NUM_JOINTS):
        features, offsets = [], []
        for _ in range(POSES_PER_JOINT):
            rotation = _sample_bend(joint, axes, generator)
            transforms = bend_one_joint(joints, joint, rotation)
            features.append((rotation - np.eye(3)).ravel())
            offsets.append(corrective_offsets(template, weights, transforms).ravel())
        known, wanted = np.array(features), np.array(offsets)
        normal_matrix = known.T @ known + RIDGE * np.eye(9)
        solution = np.linalg.solve(normal_matrix, known.T @ wanted)
        maps = solution.reshape(9, NUM_VERTICES, 3).transpose(1, 2, 0)
        posedirs[:, :, 9 * (joint - 1) : 9 * joint] = maps
    return posedirs


def bend_one_joint(
    joints: Float[np.ndarray, "16 3"], joint: int, rotation: Float[np.ndarray, "3 3"]
) -> Float[np.ndarray, "16 4 4"]:
    """Each joint's movement from the rest pose when one joint turns and its children follow."""
    moving = {joint}
    for child in range(joint + 1, NUM_JOINTS):
        if PARENTS[child] in moving:
            moving.add(child)
    transforms = np.tile(np.eye(4), (NUM_JOINTS, 1, 1))
    transforms[list(moving), :3, :3] = rotation
    transforms[list(moving), :3, 3] = joints[joint] - rotation @ joints[joint]
    return transforms


def corrective_offsets(
    template: Float[np.ndarray, "778 3"],
    weights: Float[np.ndarray, "778 16"],
    transforms: Float[np.ndarray, "16 4 4"],
) -> Float[np.ndarray, "778 3"]:
    """Offsets of the template that bring linear skinning close to dual-quaternion skinning."""
    blended = np.einsum("vj,jab->vab", weights, transforms)
    linear = np.einsum("vab,vb->va", blended[:, :3, :3], template) + blended[:, :3, 3]
    wanted = STRENGTH * (dual_quaternion_skinning(template, weights, transforms) - linear)
    # The small diagonal only guards against a singular blend of opposite rotations.
    to_rest = np.linalg.inv(blended[:, :3, :3] + 1e-6 * np.eye(3))
    offsets = np.einsum("vab,vb->va", to_rest, wanted)
    lengths = np.linalg.norm(offsets, axis=1, keepdims=True)
    return offsets * np.minimum(1, MAX_OFFSET / np.maximum(lengths, 1e-9))


def dual_quaternion_skinning(
    points: Float[np.ndarray, "vertices 3"],
    weights: Float[np.ndarray, "vertices joints"],
    transforms: Float[np.ndarray, "joints 4 4"],
) -> Float[np.ndarray, "vertices 3"]:
    """Move points by blended rigid motions that stay rigid (Kavan et al. 2007)."""
    real, dual = _dual_quaternions(transforms)
    real, dual = weights @ real, weights @ dual
    length = np.linalg.norm(real, axis=1, keepdims=True)
    real, dual = real / length, dual / length
    w, v = real[:, :1], real[:, 1:]
    rotated = points + 2 * np.cross(v, np.cross(v, points) + w * points)
    shift = 2 * (w * dual[:, 1:] - dual[:, :1] * v + np.cross(v, dual[:, 1:]))
    return rotated + shift


def _dual_quaternions(
    transforms: Float[np.ndarray, "joints 4 4"],
) -> tuple[Float[np.ndarray, "joints 4"], Float[np.ndarray, "joints 4"]]:
    """Rigid motions as unit dual quaternions, scalar part first and not negative."""
    real = Rotation.from_matrix(transforms[:, :3, :3]).as_quat(scalar_first=True)
    real[real[:, 0] < 0] *= -1
    w, v, shift = real[:, :1], real[:, 1:], transforms[:, :3, 3]
    scalar = -(shift * v).sum(axis=1, keepdims=True)
    dual = 0.5 * np.concatenate([scalar, w * shift + np.cross(shift, v)], axis=1)
    return real, dual


def _sample_bend(
    joint: int, axes: BendAxes, generator: np.random.Generator
) -> Float[np.ndarray, "3 3"]:
    """A natural rotation of one joint; only the first joint of a finger moves sideways much."""
    flexion = np.deg2rad(generator.uniform(-15, 100))
    is_base = (joint - 1) % 3 == 0
    abduction = np.deg2rad(generator.normal(0, 10 if is_base else 2))
    turn = axes.flexion[joint - 1] * flexion + axes.abduction[joint - 1] * abduction
    return Rotation.from_rotvec(turn).as_matrix()
