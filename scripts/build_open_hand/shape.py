"""The space of hand shapes: random people, straightened and compared vertex by vertex."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scripts.build_open_hand.arm import Arm
from scripts.build_open_hand.identity import morph, sample_identity
from scripts.build_open_hand.layout import MIDDLE, NUM_BETAS, WRIST_POSITION, joints_of
from scripts.build_open_hand.straighten import straighten, to_palm_frame

NUM_IDENTITIES = 800
MEAN_LENGTH = 0.19
"""Metres from MakeHuman's wrist to the tip of the middle finger that sizes are pulled towards."""
SIZE_REMOVED = 0.7
"""Share of the variation of log size taken out; else 95 % of all variation would be size."""
WRIST_SHIFT = np.array([-0.009, 0.0, -0.003])
"""From MakeHuman's wrist joint, which sits high in the forearm, to MANO's; metres for a hand of
`PALM_LENGTH`."""
PALM_LENGTH = 0.1017
"""Metres from MakeHuman's wrist to the base of the middle finger in the mean hand."""
TEMPLATE_OFFSET = np.array(WRIST_POSITION) - WRIST_SHIFT


class HandSamples(NamedTuple):
    """Flat hands of random people, MakeHuman's wrist joint at 0, metres."""

    vertices: Float[np.ndarray, "people 778 3"]
    joints: Float[np.ndarray, "people 16 3"]


class ShapeSpace(NamedTuple):
    """Principal components, scaled so that coefficients have a standard deviation of 1.

    Vertices and joints belong together: both move along the same coefficients. MakeHuman's wrist
    joint is at 0; add `TEMPLATE_OFFSET` for MANO's origin.
    """

    mean: Float[np.ndarray, "778 3"]
    components: Float[np.ndarray, "10 778 3"]
    joint_mean: Float[np.ndarray, "16 3"]
    joint_components: Float[np.ndarray, "10 16 3"]


def sample_hands(
    arm: Arm,
    arm_ids: Int[np.ndarray, " 778"],
    directions: Float[np.ndarray, "16 3"],
    generator: np.random.Generator,
    num_people: int = NUM_IDENTITIES,
) -> HandSamples:
    """Draw people; MakeHuman's bodies plus random proportions of palm and fingers.

    MakeHuman alone has about eight directions in which hands differ. Ours, all standard deviations
    as factors: palm thickness 5 % and breadth 4.5 %, each finger's length 4 %, thickness 5 % for
    the hand and 2 % for a finger.
    """
    vertices, joints = [], []
    for _ in range(num_people):
        positions = to_palm_frame(arm, morph(arm, sample_identity(generator)))
        thickness = np.clip(generator.normal(1, 0.05), 0.85, 1.15)
        breadth = np.clip(generator.normal(1, 0.045), 0.87, 1.13)
        finger_lengths = np.clip(generator.normal(1, 0.04, 5), 0.88, 1.12)
        finger_thicknesses = generator.normal(1, 0.05) + generator.normal(0, 0.02, 5)
        flat = straighten(
            arm,
            positions * np.array([1, thickness, breadth]),
            directions,
            finger_lengths,
            np.clip(finger_thicknesses, 0.85, 1.18),
        )
        length = np.linalg.norm(flat.tips[MIDDLE] - flat.joints[0])
        scale = (MEAN_LENGTH / length) ** SIZE_REMOVED
        vertices.append(flat.positions[arm_ids] * scale)
        joints.append(_shift_wrist(flat.joints * scale))
    return HandSamples(np.array(vertices), np.array(joints))


def fit_shape_space(samples: HandSamples) -> ShapeSpace:
    """Principal components of the vertices; a positive coefficient makes the hand longer."""
    people = len(samples.vertices)
    mean, joint_mean = samples.vertices.mean(axis=0), samples.joints.mean(axis=0)
    deviations = (samples.vertices - mean).reshape(people, -1)
    left, singular, right = np.linalg.svd(deviations, full_matrices=False)
    spread = np.sqrt(people - 1)
    components = (right[:NUM_BETAS] * (singular[:NUM_BETAS, None] / spread)).reshape(
        -1, *mean.shape
    )
    coefficients = left[:, :NUM_BETAS] * spread
    sign = -np.sign(components[:, :, 0].sum(axis=1))  # fingers point along -x
    joint_deviations = samples.joints - joint_mean
    joint_components = np.einsum("nja,nk->kja", joint_deviations, coefficients / (people - 1))
    return ShapeSpace(
        mean,
        components * sign[:, None, None],
        joint_mean,
        joint_components * sign[:, None, None],
    )


def _shift_wrist(joints: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "16 3"]:
    """Move the wrist joint to MANO's place, in proportion to the palm's length."""
    palm = np.linalg.norm(joints[joints_of(MIDDLE)[0]] - joints[0])
    shifted = joints.copy()
    shifted[0] += WRIST_SHIFT * (palm / PALM_LENGTH)
    return shifted
