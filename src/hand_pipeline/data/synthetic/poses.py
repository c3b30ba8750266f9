"""Hand poses and shapes that a hand can really take, drawn from anatomical angles.

A pose is 21 angles (`gestures` says which, and their signs). They come from real hands
(`assets/real_poses`), from a small library of everyday gestures, blended two by two and made
uneven, or freely from the joints' ranges with fingers curling together as they do; hands that run
into themselves are drawn again.
"""

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation
from torch import Tensor

from hand_pipeline.data.synthetic.gestures import GESTURES, HIGH, LOW, TOGETHER, WIDE
from hand_pipeline.geometry.joints import MANO_PARENTS, TIPS
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle

CANDIDATES = 6
REAL_SOURCES = ("letters", "photos")
REAL_POSES = 0.5  # share of hands with the pose of a real one
_LOOSENESS = np.array([7.0, 6, 3, 2] * 4 + [4.0, 4, 4, 6, 6])
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
# a turn about the spread axis (out of the back of the hand) moves a finger to the thumb
_TO_THUMB = (1.0, 1.0, -1.0, -1.0)


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


@cache
def real_poses() -> Float64[ndarray, "poses 21"]:
    """Angles of real hands, degrees (`scripts/real_poses.py` fitted them to landmarks)."""
    with (
        as_file(files("hand_pipeline.assets") / "real_poses" / "real_poses.npz") as path,
        np.load(path, allow_pickle=False) as archive,
    ):
        return archive["angles"].astype(float)


def sample_hands(
    generators: list[np.random.Generator],
    skeleton: Skeleton,
    beta_std: float,
    beta_limit: float,
    real: float = REAL_POSES,
) -> Hands:
    """One hand from each generator.

    Args:
        beta_std: of the normal distribution of each shape coefficient.
        beta_limit: coefficients are clipped to this size.
        real: share of hands with the pose of a real one.
    """
    betas = np.stack([rng.normal(0.0, beta_std, 10) for rng in generators])
    angles = np.stack([_candidate_angles(rng, real) for rng in generators])
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


def _candidate_angles(rng: np.random.Generator, real: float) -> Float[ndarray, "candidates 21"]:
    free = _free_angles(rng)
    library = np.stack(list(GESTURES.values()))
    pair = rng.integers(len(library), size=(CANDIDATES, 2))
    blend = rng.beta(0.35, 0.35, CANDIDATES)[:, None]
    named = (1 - blend) * library[pair[:, 0]] + blend * library[pair[:, 1]]
    named += rng.normal(0.0, 1.0, named.shape) * _LOOSENESS
    angles = np.where(rng.random((CANDIDATES, 1)) < 0.6, named, free)
    if rng.random() < real:  # decided once: what runs into itself is drawn again of the same kind
        rows = rng.integers(len(real_poses()), size=CANDIDATES)
        angles = real_poses()[rows] + rng.normal(0.0, 0.5, angles.shape) * _LOOSENESS
    return np.clip(angles, LOW, HIGH)


def _free_angles(rng: np.random.Generator) -> Float[ndarray, "candidates 21"]:
    """Fingers that mostly curl together, each with a will of its own."""
    n = CANDIDATES
    curl = rng.beta(0.9, 1.6, (n, 1))
    own = np.clip(curl + rng.normal(0, 0.22, (n, 4)), 0, 1) * (rng.random((n, 4)) > 0.12)
    mcp = -8 + 85 * own + rng.normal(0, 7, (n, 4))
    pip = 95 * own**1.15 + np.abs(rng.normal(0, 6, (n, 4)))
    dip = 0.6 * pip + rng.normal(0, 4, (n, 4))
    # bent fingers cannot part: their ligaments are tight (Kapandji)
    spread = (TOGETHER + rng.random((n, 1)) * (WIDE - TOGETHER)) * (1 - 0.8 * own)
    spread += rng.normal(0, 2, (n, 4))
    own = np.clip(0.7 * curl[:, 0] + rng.normal(0, 0.25, n), 0, 1)
    out = (1 - own) * rng.beta(1.0, 1.6, n)  # extends, as in a raised thumb
    thumb = np.stack(
        [25 * own - 45 * out + rng.normal(0, 6, n), 2 + 6 * out + rng.normal(0, 9, n),
         5 + 20 * own + rng.normal(0, 6, n), 35 * own - 8 * out + rng.normal(-1, 8, n),
         50 * own - 15 * out + rng.normal(-2, 10, n)], 1
    )  # fmt: skip
    return np.concatenate([np.stack([mcp, pip, dip, spread], 2).reshape(n, 16), thumb], 1)


def finger_matrices(
    angles: Float[Tensor, "hands 21"], skeleton: Skeleton
) -> Float[Tensor, "hands 15 3 3"]:
    """Rotations of MANO's 15 finger joints, full, from angles as in `Hands.angles`; smooth."""
    radians = torch.deg2rad(angles)
    flex, sideways = (
        torch.from_numpy(axes).to(angles) for axes in (skeleton.flex_axes, skeleton.spread_axes)
    )
    along = torch.from_numpy(skeleton.joints[14] - skeleton.joints[13]).to(angles)
    bend = torch.zeros_like(radians[:, :15])
    tilt = torch.zeros_like(bend)
    for finger, first in enumerate(_FIRST):
        bend[:, first : first + 3] = radians[:, 4 * finger : 4 * finger + 3]
        tilt[:, first] = radians[:, 4 * finger + 3] * _TO_THUMB[finger]
    bend[:, 12:] = radians[:, [16, 19, 20]]
    tilt[:, 12] = radians[:, 17]
    turned = axis_angle_to_matrix(bend[..., None] * flex)
    turned = axis_angle_to_matrix(tilt[..., None] * sideways) @ turned
    twist = axis_angle_to_matrix(-radians[:, 18, None] * along / along.norm())
    return torch.cat([turned[:, :12], (twist @ turned[:, 12])[:, None], turned[:, 13:]], dim=1)


def finger_rotations(
    angles: Float[ndarray, "hands 21"], skeleton: Skeleton
) -> Float[ndarray, "hands 15 3"]:
    """Axis-angle of MANO's 15 finger joints, full, radians, from angles as in `Hands.angles`."""
    return matrix_to_axis_angle(finger_matrices(torch.from_numpy(angles), skeleton)).numpy()


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
