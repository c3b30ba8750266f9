"""The 45 ranges of S2HAND's finger joints, by name."""

import math

import numpy as np
import pytest
import torch

from hand_pipeline.data.synthetic.poses import sample_hands, skeleton_of
from hand_pipeline.geometry.joints import MANO_JOINTS
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.s2hand.joint_limits import (
    ANATOMICAL,
    LIMITS,
    joint_axes,
    joint_limit_loss,
    limit_table,
)

# S2HAND's table 6, from its copy with pitch: azimuth, pitch = -flexion, roll; degrees
TABLE_6 = {
    ("thumb_1",): ((-22.5, 33.75), (-22.5, 22.5), (0, 90)),
    ("thumb_2",): ((-5, 5), (-22.5, 22.5), (-5, 5)),
    ("thumb_3",): ((-5, 5), (-100, 20), (-5, 5)),
    ("index_1", "middle_1", "ring_1"): ((-10, 10), (-100, 10), (-5, 5)),
    ("pinky_1",): ((-10, 20), (-100, 10), (-20, 5)),
    tuple(f"{finger}_{n}" for finger in ("index", "middle", "ring", "pinky") for n in (2, 3)): (
        (-5, 5),
        (-100, 10),
        (-5, 5),
    ),
}


def test_the_table_is_the_papers_with_pitch_turned_into_flexion():
    seen = set()
    for names, (azimuth, pitch, roll) in TABLE_6.items():
        for name in names:
            assert LIMITS[name].azimuth == azimuth
            assert LIMITS[name].flexion == (-pitch[1], -pitch[0])
            assert LIMITS[name].roll == roll
            seen.add(name)
    assert seen == set(LIMITS) == set(MANO_JOINTS[1:])


def test_rows_stand_in_manos_order():
    low, high = torch.rad2deg(limit_table())
    pinky, thumb = MANO_JOINTS.index("pinky_1") - 1, MANO_JOINTS.index("thumb_1") - 1
    torch.testing.assert_close(low[pinky], torch.tensor([-20.0, -10.0, -10.0]))
    torch.testing.assert_close(high[thumb], torch.tensor([90.0, 33.75, 22.5]))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_what_exceeds_a_limit_counts_and_flexion_twice(axis):
    limits, axes = limit_table(), torch.eye(3).expand(15, 3, 3)
    inside = limits.mean(0)[None]
    assert joint_limit_loss(inside, limits, axes) == 0
    beyond = inside.clone()
    beyond[0, 4, axis] = limits[1, 4, axis] + 0.3
    expected = 0.3 * (2 if axis == 2 else 1) / 48
    assert joint_limit_loss(beyond, limits, axes).item() == pytest.approx(expected, rel=1e-5)


def test_a_file_without_axes_has_the_models_and_the_open_hand_its_own():
    assert torch.equal(joint_axes(torch.zeros(0, 3), torch.zeros(0, 3))[7], torch.eye(3))
    mano = ManoHand()
    axes = joint_axes(mano.flex_axes, mano.abd_axes)
    near_orthonormal = axes @ axes.mT
    torch.testing.assert_close(near_orthonormal, torch.eye(3).expand(15, 3, 3), atol=0.02, rtol=0)
    rest = mano.rest_joints(torch.zeros(1, 10))[0]
    for finger in (1, 4, 7, 10, 13):  # roll is about the bone, towards the wrist
        bone = rest[finger] - rest[finger + 1]
        assert (axes[finger - 1, 0] @ bone / bone.norm()) > 0.9


def test_hands_of_everyday_hardly_break_an_anatomical_limit_but_often_one_of_the_papers():
    mano = ManoHand()
    generators = [np.random.default_rng(seed) for seed in range(100)]
    fingers = torch.from_numpy(sample_hands(generators, skeleton_of(mano), 1.0, 2.0).fingers)
    axes = joint_axes(mano.flex_axes, mano.abd_axes).double()
    angles = torch.einsum("jkc,bjc->bjk", axes, fingers.double()).rad2deg()

    def breaking(ranges) -> float:
        low, high = limit_table(ranges).double().rad2deg()
        beyond = torch.maximum(low - angles, angles - high)
        return (beyond > 2).flatten(1).any(1).double().mean().item()

    assert breaking("anatomical") <= 0.05
    assert breaking("paper") > 0.3  # why these are not the default


def test_a_thumb_may_bend_its_middle_joint_by_60_degrees_but_not_by_70():
    limits, axes = limit_table("anatomical"), torch.eye(3).expand(15, 3, 3)
    bent = torch.zeros(1, 15, 3)
    bent[0, MANO_JOINTS.index("thumb_2") - 1, 2] = math.radians(60)
    assert joint_limit_loss(bent, limits, axes).item() == pytest.approx(0, abs=1e-7)
    bent[0, MANO_JOINTS.index("thumb_2") - 1, 2] = math.radians(70)
    excess = joint_limit_loss(bent, limits, axes).item()
    assert excess == pytest.approx(2 * math.radians(10) / 48, rel=1e-4)


def test_anatomical_ranges_allow_all_that_the_papers_allow():
    (low, high), (least, most) = limit_table("paper"), limit_table("anatomical")
    assert ANATOMICAL.keys() == LIMITS.keys()
    assert (least <= low).all()
    assert (most >= high).all()


def test_natural_hands_hardly_exceed_the_limits_in_their_own_axes():
    mano = ManoHand()
    generators = [np.random.default_rng(seed) for seed in range(50)]
    fingers = sample_hands(generators, skeleton_of(mano), 1.0, 2.0).fingers
    rotations, limits = torch.from_numpy(fingers).float(), limit_table("anatomical")
    own = joint_limit_loss(rotations, limits, joint_axes(mano.flex_axes, mano.abd_axes))
    shared = joint_limit_loss(rotations, limits, torch.eye(3).expand(15, 3, 3))
    assert own < math.radians(0.05)
    assert shared > 3 * own  # why the open hand is not judged in MANO's axes
