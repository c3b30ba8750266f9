"""Hand poses and shapes that a hand can really take, drawn from anatomical angles.

A pose is 21 angles: per finger the flexion of its three joints and its spread, and for the thumb
flexion, abduction and twist of its root and flexion of its two other joints. They come either from
a small library of everyday gestures, blended two by two and made uneven, or freely from the joints'
ranges with fingers curling together as they do; hands that run into themselves are drawn again.
Ranges: our choice, within those of Kapandji, The Physiology of the Joints, vol. 1.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from hand_pipeline.geometry.joints import MANO_PARENTS, TIPS
from hand_pipeline.geometry.mano import ManoHand

CANDIDATES = 6
_TOUCH = 0.004  # metres that balls along two bones may overlap: skin gives way
# flexion, twist and spread about the axes of the open hand, used where a model file has none:
# MANO's rest pose has the same frame (fingers towards -x, back of the hand +y, thumb +z)
_FLEX_AXES = np.array(
    [[0.115, 0, 0.993]] * 3 + [[-0.067, 0, 0.998]] * 3 + [[-0.313, 0, 0.950]] * 3
    + [[-0.205, 0, 0.979]] * 3
    + [[0.835, -0.541, 0.097], [0.702, -0.688, 0.183], [0.665, -0.719, 0.202]]
)  # fmt: skip
_SPREAD_AXES = np.array([[0.0, 1.0, 0.0]] * 12 + [[0.252, 0.534, 0.807]] * 3)
# index, middle, ring, pinky -> first joint among MANO's 15
_FIRST = (0, 3, 9, 6)
_SPREAD_SIGN = np.array([1.0, 0.0, -0.6, -1.2])
# degrees: mcp, pip, dip, spread
_FINGER_LOW = np.array([-22.0, -2.0, -6.0, -8.0])
_FINGER_HIGH = np.array([92.0, 105.0, 70.0, 20.0])
# degrees: root flexion, root abduction, root twist, mcp, ip
_THUMB_LOW = np.array([-12.0, -28.0, -10.0, -10.0, -15.0])
_THUMB_HIGH = np.array([42.0, 25.0, 42.0, 55.0, 75.0])

# index | middle | ring | pinky (mcp, pip, dip, spread) | thumb, degrees. Where the thumb touches a
# finger, its angles were fitted on the open hand's finger pads.
_LIBRARY = {
    "open": "0 6 4 6 | 0 6 4 6 | 0 6 4 6 | 0 6 4 6 | 0 -8 6 4 2",
    "spread": "-5 3 2 15 | -6 3 2 0 | -5 3 2 14 | -4 3 2 16 | -6 -20 0 -4 -6",
    "flat": "2 4 2 0 | 2 4 2 0 | 2 4 2 0 | 2 4 2 0 | 4 6 8 8 2",
    "relaxed": "18 28 14 3 | 24 32 16 0 | 28 34 17 2 | 28 32 16 4 | 6 0 12 12 10",
    "loose": "35 48 26 2 | 40 52 28 0 | 44 54 28 0 | 44 50 26 2 | 14 2 16 18 18",
    "cup": "42 25 14 0 | 46 26 15 0 | 46 27 15 0 | 44 26 14 0 | 16 6 14 10 6",
    "grasp": "40 55 32 4 | 45 58 34 0 | 48 58 34 2 | 48 56 32 4 | 18 6 20 14 16",
    "fist": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 11 7 26 25 44",
    "hook": "5 90 55 0 | 6 92 56 0 | 6 92 56 0 | 6 88 54 0 | 6 0 12 12 10",
    "claw": "-12 60 35 10 | -12 62 36 0 | -10 62 36 10 | -8 58 34 12 | 4 -8 10 20 35",
    "point": "0 4 3 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 20 4 20 35 40",
    "point_loose": "8 12 6 0 | 50 60 32 0 | 58 66 36 0 | 60 62 34 0 | 12 2 16 24 24",
    "victory": "0 4 3 11 | 0 4 3 0 | 75 90 50 0 | 75 90 50 0 | 29 3 9 37 34",
    "three": "0 4 3 9 | 0 4 3 0 | 2 5 3 9 | 75 90 50 0 | 28 4 18 45 40",
    "four": "0 5 3 8 | 0 5 3 0 | 2 5 3 8 | 2 5 3 10 | 25 14 24 50 55",
    "six": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 2 4 3 12 | -6 -18 0 -4 -8",
    "gun": "0 4 3 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | -8 -16 0 -4 -6",
    "thumb_up": "78 95 55 0 | 78 95 55 0 | 78 95 55 0 | 78 95 55 0 | -8 -18 0 -6 -12",
    "horns": "0 4 3 4 | 78 95 55 0 | 78 95 55 0 | 2 4 3 6 | 24 4 16 38 40",
    "pinch": "45 50 25 3 | 30 35 20 0 | 25 30 15 2 | 20 25 15 4 | 12 1 14 17 18",
    "ok": "49 50 28 3 | 5 10 5 0 | 0 8 5 8 | -2 8 5 8 | 6 3 14 22 28",
    "pinch_middle": "10 15 5 5 | 56 52 27 0 | 25 30 15 2 | 20 25 15 4 | 23 -2 -1 22 22",
    "pinch_all": "50 45 20 -2 | 52 45 20 0 | 50 45 20 -2 | 45 45 20 -2 | 29 0 5 6 8",
    "tripod": "48 45 22 0 | 54 48 26 0 | 60 62 34 0 | 58 60 32 0 | 20 0 8 18 20",
    "key": "40 70 35 0 | 55 75 40 0 | 60 78 42 0 | 60 75 42 0 | 16 10 12 10 12",
}
GESTURES = {
    name: np.array([float(angle) for angle in text.replace("|", " ").split()])
    for name, text in _LIBRARY.items()
}


class Hands(NamedTuple):
    """Poses and shapes of some hands.

    Attributes:
        fingers: axis-angle of MANO's 15 finger joints, full (relative to the flat hand), radians.
        betas: shape, standard deviations.
        angles: the angles they were made of, degrees: fingers index to pinky (mcp, pip, dip,
            spread), then the thumb's five.
    """

    fingers: Float[ndarray, "hands 15 3"]
    betas: Float[ndarray, "hands 10"]
    angles: Float[ndarray, "hands 21"]


class Skeleton(NamedTuple):
    """What poses need to know of a hand model, all in its rest pose.

    Attributes:
        joints: MANO's 16 joints and the 5 tips, thumb to pinky, metres.
        flex_axes, spread_axes: of the 15 finger joints, unit vectors.
    """

    joints: Float[ndarray, "21 3"]
    flex_axes: Float[ndarray, "15 3"]
    spread_axes: Float[ndarray, "15 3"]

    @classmethod
    def of(cls, joints: ndarray, flex_axes: ndarray, abd_axes: ndarray) -> "Skeleton":
        """From a `ManoHand`'s arrays; axes may have no rows."""
        flex = flex_axes if len(flex_axes) else _FLEX_AXES
        spread = abd_axes if len(abd_axes) else _SPREAD_AXES
        return cls(joints.astype(float), flex.astype(float), spread.astype(float))


def skeleton_of(mano: ManoHand) -> Skeleton:
    """The skeleton of a hand model's mean shape."""
    flat, mean = torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10)
    joints = mano.rest_joints(mean)[0].numpy().astype(np.float64)
    tips = mano(flat, mean).joints[0, list(TIPS)].numpy()
    return Skeleton.of(
        np.concatenate([joints, tips]), mano.flex_axes.numpy(), mano.abd_axes.numpy()
    )


def sample_hands(
    generators: list[np.random.Generator], skeleton: Skeleton, beta_std: float, beta_limit: float
) -> Hands:
    """One hand from each generator.

    Args:
        beta_std: of the normal distribution of each shape coefficient.
        beta_limit: coefficients are clipped to this size.
    """
    betas = np.stack([rng.normal(0.0, beta_std, 10) for rng in generators])
    angles = np.stack([_candidate_angles(rng) for rng in generators])
    fingers = finger_rotations(angles.reshape(-1, 21), skeleton)
    depth = _self_penetration(fingers, skeleton).reshape(len(generators), CANDIDATES)
    # the first candidate without contact to speak of, else the one with least
    chosen = np.where(depth.min(1) < _TOUCH, (depth < _TOUCH).argmax(1), depth.argmin(1))
    row = np.arange(len(generators))
    return Hands(
        fingers.reshape(len(generators), CANDIDATES, 15, 3)[row, chosen],
        np.clip(betas, -beta_limit, beta_limit),
        angles[row, chosen],
    )


def _candidate_angles(rng: np.random.Generator) -> Float[ndarray, "candidates 21"]:
    free = _free_angles(rng)
    library = np.stack(list(GESTURES.values()))
    pair = rng.integers(len(library), size=(CANDIDATES, 2))
    blend = rng.beta(0.35, 0.35, CANDIDATES)[:, None]
    named = (1 - blend) * library[pair[:, 0]] + blend * library[pair[:, 1]]
    named += rng.normal(0.0, 1.0, named.shape) * np.array([7.0, 6, 3, 2] * 4 + [4.0, 4, 4, 6, 6])
    angles = np.where(rng.random((CANDIDATES, 1)) < 0.6, named, free)
    low = np.concatenate([np.tile(_FINGER_LOW, 4), _THUMB_LOW])
    high = np.concatenate([np.tile(_FINGER_HIGH, 4), _THUMB_HIGH])
    return np.clip(angles, low, high)


def _free_angles(rng: np.random.Generator) -> Float[ndarray, "candidates 21"]:
    """Fingers that mostly curl together, each with a will of its own."""
    n = CANDIDATES
    curl = rng.beta(0.9, 1.6, (n, 1))
    own = np.clip(curl + rng.normal(0, 0.22, (n, 4)), 0, 1) * (rng.random((n, 4)) > 0.12)
    mcp = -8 + 85 * own + rng.normal(0, 7, (n, 4))
    pip = 95 * own**1.15 + np.abs(rng.normal(0, 6, (n, 4)))
    dip = 0.6 * pip + rng.normal(0, 4, (n, 4))
    spread = rng.uniform(-2, 14, (n, 1)) * (1 - 0.7 * own) + rng.normal(0, 2, (n, 4))
    own = np.clip(0.7 * curl[:, 0] + rng.normal(0, 0.25, n), 0, 1)
    thumb = np.stack(
        [25 * own + rng.normal(0, 6, n), rng.normal(-2, 10, n), 5 + 20 * own + rng.normal(0, 6, n),
         35 * own + rng.normal(-3, 8, n), 50 * own + rng.normal(-5, 10, n)], 1
    )  # fmt: skip
    return np.concatenate([np.stack([mcp, pip, dip, spread], 2).reshape(n, 16), thumb], 1)


def finger_rotations(
    angles: Float[ndarray, "hands 21"], skeleton: Skeleton
) -> Float[ndarray, "hands 15 3"]:
    """Axis-angle of MANO's 15 finger joints, full, radians, from angles as in `Hands.angles`."""
    radians = np.deg2rad(angles)
    out = np.zeros((len(angles), 15, 3))

    def turn(angle: ndarray, axis: ndarray) -> Rotation:
        return Rotation.from_rotvec(angle[:, None] * axis)

    for finger, first in enumerate(_FIRST):
        mcp, pip, dip, spread = radians[:, 4 * finger : 4 * finger + 4].T
        sideways = turn(-spread * _SPREAD_SIGN[finger], skeleton.spread_axes[first])
        out[:, first] = (sideways * turn(mcp, skeleton.flex_axes[first])).as_rotvec()
        out[:, first + 1] = pip[:, None] * skeleton.flex_axes[first + 1]
        out[:, first + 2] = dip[:, None] * skeleton.flex_axes[first + 2]
    flexion, abduction, twist, mcp, ip = radians[:, 16:].T
    along = skeleton.joints[14] - skeleton.joints[13]
    root = turn(-twist, along / np.linalg.norm(along)) * turn(abduction, skeleton.spread_axes[12])
    out[:, 12] = (root * turn(flexion, skeleton.flex_axes[12])).as_rotvec()
    out[:, 13] = mcp[:, None] * skeleton.flex_axes[13]
    out[:, 14] = ip[:, None] * skeleton.flex_axes[14]
    return out


def posed_joints(
    fingers: Float[ndarray, "hands 15 3"], skeleton: Skeleton
) -> Float[ndarray, "hands 21 3"]:
    """Joints in MANO's order, then the tips thumb to pinky; wrist at its place, not rotated."""
    count = len(fingers)
    local = Rotation.from_rotvec(fingers.reshape(-1, 3)).as_matrix().reshape(count, 15, 3, 3)
    rotation = np.empty((count, 16, 3, 3))
    place = np.empty((count, 21, 3))
    rotation[:, 0], place[:, 0] = np.eye(3), skeleton.joints[0]
    for joint in range(1, 16):
        parent = MANO_PARENTS[joint]
        offset = skeleton.joints[joint] - skeleton.joints[parent]
        place[:, joint] = place[:, parent] + rotation[:, parent] @ offset
        rotation[:, joint] = rotation[:, parent] @ local[:, joint - 1]
    for tip, last in zip(range(16, 21), (15, 3, 6, 12, 9)):
        place[:, tip] = place[:, last] + rotation[:, last] @ (
            skeleton.joints[tip] - skeleton.joints[last]
        )
    return place


def _self_penetration(
    fingers: Float[ndarray, "hands 15 3"], skeleton: Skeleton
) -> Float[ndarray, " hands"]:
    """How deep the fingers, as chains of balls, run into each other or the palm, metres."""
    joints = posed_joints(fingers, skeleton)
    chains = _chains()
    step = (np.arange(4) + 0.5) / 4
    balls, owner, radius = [], [], []
    for owner_index, chain in enumerate(chains):
        for a, b, thickness in chain:
            balls.append(
                joints[:, a, None] + step[:, None] * (joints[:, b] - joints[:, a])[:, None]
            )
            owner += [owner_index] * 4
            radius += [thickness] * 4
    centre, who, size = np.concatenate(balls, 1), np.array(owner), np.array(radius)
    first, second = _pairs(who)
    distance = np.linalg.norm(centre[:, first] - centre[:, second], axis=2)
    return np.clip(size[first] + size[second] - distance, 0, None).max(1)


def _chains() -> list[list[tuple[int, int, float]]]:
    """Bones (joint, joint, radius in metres) of index, middle, ring, pinky, thumb and palm."""
    fingers = [
        [(f, f + 1, 0.0075), (f + 1, f + 2, 0.007), (f + 2, tip, 0.0045)]
        for f, tip in ((1, 17), (4, 18), (10, 19), (7, 20))
    ]
    thumb = [(14, 15, 0.0085), (15, 16, 0.005)]
    palm = [(0, f, 0.009) for f in (1, 4, 10, 7)]
    return [*fingers, thumb, palm]


def _pairs(who: Int[ndarray, " balls"]) -> tuple[ndarray, ndarray]:
    """Balls that may touch: of different chains; of the palm only with what can reach it."""
    first, second = np.triu_indices(len(who), 1)
    palm, lower = 5, np.arange(len(who)) % 12 < 4
    base = (who < 4) & lower  # first finger bones, which grow out of the palm
    grown_together = (who[second] == palm) & (base[first] | (who[first] == 4))
    reachable = (who[first] != who[second]) & ~grown_together
    return first[reachable], second[reachable]
