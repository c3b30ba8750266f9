from pathlib import Path

import numpy as np
import pytest
import torch
from scripts.gesture_angles import neighbours_apart, thumb_to_fingers

import hand_pipeline
from hand_pipeline.data.synthetic.gestures import GESTURES, HIGH, LOW, SPREADS
from hand_pipeline.data.synthetic.poses import (
    Skeleton,
    posed_joints,
    real_poses,
    sample_hands,
)
from hand_pipeline.geometry.joints import ORDERS, permutation
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture(scope="module")
def skeleton(mano: ManoHand) -> Skeleton:
    flat = mano(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10)).joints[0].numpy()
    order = list(permutation("openpose", "mano"))
    return Skeleton.of(flat[order], mano.flex_axes.numpy(), mano.abd_axes.numpy())


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, index]) for index in range(count)]


def test_joints_of_the_bare_skeleton_equal_manos(mano: ManoHand, skeleton: Skeleton) -> None:
    fingers = np.random.default_rng(0).normal(0, 0.4, (4, 15, 3))
    pose = axis_angle_to_matrix(torch.from_numpy(fingers).float())
    pose = torch.cat([torch.eye(3).expand(4, 1, 3, 3), pose], 1)
    order = list(permutation("openpose", "mano"))
    expected = mano(pose, torch.zeros(4, 10)).joints[:, order].numpy()
    np.testing.assert_allclose(posed_joints(fingers, skeleton)[:, :16], expected[:, :16], atol=1e-5)
    # tips are skin, which bends a little otherwise than bone
    np.testing.assert_allclose(posed_joints(fingers, skeleton)[:, 16:], expected[:, 16:], atol=4e-3)
    assert ORDERS["mano"][16] == "thumb_4"


def test_a_hand_depends_on_its_own_generator_only(skeleton: Skeleton) -> None:
    alone = sample_hands(generators(5)[3:4], skeleton, 1.0, 2.0)
    together = sample_hands(generators(5), skeleton, 1.0, 2.0)
    np.testing.assert_allclose(alone.fingers[0], together.fingers[3], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(alone.betas[0], together.betas[3])


def test_poses_reach_from_open_hands_to_fists(skeleton: Skeleton) -> None:
    bent = sample_hands(generators(200), skeleton, 1.0, 2.0).angles[:, [1, 5, 9, 13]].mean(1)
    assert np.mean(bent < 20) > 0.1
    assert np.mean(bent > 70) > 0.08
    assert 30 < bent.mean() < 55


def test_angles_stay_within_what_joints_can_do(skeleton: Skeleton) -> None:
    angles = sample_hands(generators(100), skeleton, 1.0, 2.0).angles[:, :16].reshape(-1, 4, 4)
    assert angles[..., 0].min() >= -22
    assert angles[..., 0].max() <= 92
    assert angles[..., 1].max() <= 105
    assert angles[..., 1].min() >= -2


def test_fingers_rarely_run_through_each_other(skeleton: Skeleton) -> None:
    joints = posed_joints(sample_hands(generators(150), skeleton, 1.0, 2.0).fingers, skeleton)
    tips = joints[:, 17:]
    apart = np.linalg.norm(tips[:, :, None] - tips[:, None], axis=-1)[:, *np.triu_indices(4, 1)]
    assert np.mean(apart.min(1) < 0.006) < 0.03


def test_shapes_are_clipped(skeleton: Skeleton) -> None:
    betas = sample_hands(generators(100), skeleton, 1.0, 1.5).betas
    assert np.abs(betas).max() == 1.5
    assert 0.7 < betas.std() < 1.1


def test_every_gesture_has_all_angles() -> None:
    assert {len(angles) for angles in GESTURES.values()} == {21}
    fist, spread = GESTURES["fist"], GESTURES["spread"]
    assert fist[1] > 80
    assert spread[3] > 10


# what the names mean; Kapandji (The Physiology of the Joints, vol. 1) gives the side movement of
# straight fingers as up to 30 degrees each way
@pytest.mark.parametrize(
    ("gesture", "least", "most"),
    [
        ("flat", (-5, -5, -5), (5, 5, 5)),  # fingers side by side
        ("spread", (20, 15, 14), (35, 30, 35)),
        ("victory", (22, -20, -20), (40, 90, 90)),  # the bent two count for nothing
        ("crossed", (-35, -90, -90), (-12, 90, 90)),
        ("four", (12, 8, 8), (30, 25, 30)),
    ],
)
def test_fingers_part_as_the_gesture_says(
    mano: ManoHand, gesture: str, least: tuple[float, ...], most: tuple[float, ...]
) -> None:
    [apart] = neighbours_apart(GESTURES[gesture][None], mano)
    assert (apart > least).all(), apart
    assert (apart < most).all(), apart


def test_more_spread_is_further_apart_at_every_finger(mano: ManoHand) -> None:
    closed, open_ = np.zeros((1, 21)), np.zeros((1, 21))
    open_[0, list(SPREADS)] = 10, 0, 10, 20  # the pinky's neighbour moves 10 towards it
    more = neighbours_apart(open_, mano) - neighbours_apart(closed, mano)
    np.testing.assert_allclose(more[0], 10, atol=0.5)


@pytest.mark.parametrize("gesture", ["thumb_up", "gun", "six"])
def test_raised_thumbs_stand_off_the_fingers(mano: ManoHand, gesture: str) -> None:
    """70 to 90 degrees: a raised thumb is about square to the fingers' axis."""
    [angle] = thumb_to_fingers(GESTURES[gesture][None], mano)
    assert 70 <= angle <= 90


def test_the_thumb_opens_with_abduction_and_with_extension(mano: ManoHand) -> None:
    poses = np.zeros((5, 21))
    poses[[0, 2], 17] = -15, 15
    poses[3:, 16] = -20, -40
    closed, rest, abducted, extended, wide = thumb_to_fingers(poses, mano)
    assert closed < rest - 10
    assert rest + 10 < abducted
    assert rest + 4 < extended < wide


def test_drawn_hands_spread_both_ways(skeleton: Skeleton, mano: ManoHand) -> None:
    """Straight neighbours stand closer than in the rest hand, and further apart, both often."""
    angles = sample_hands(generators(300), skeleton, 1.0, 2.0, real=0.0).angles
    straight = (angles[:, [0, 4, 8, 12]] < 20) & (angles[:, [1, 5, 9, 13]] < 25)
    both = straight[:, :3] & straight[:, 1:]
    more = neighbours_apart(angles, mano) - neighbours_apart(np.zeros((1, 21)), mano)
    assert 0.25 < np.mean(more[both] > 0) < 0.85
    assert np.mean(neighbours_apart(angles, mano)[both] > 20) > 0.1
    assert neighbours_apart(angles, mano)[both].max() < 55
    thumbs = thumb_to_fingers(angles, mano)
    assert 0.03 < np.mean(thumbs > 70) < 0.4


def test_real_poses_are_many_small_and_within_what_joints_can_do() -> None:
    angles = real_poses()
    assert 2000 < len(angles) < 10000
    assert angles.shape[1] == 21
    assert (angles >= LOW - 0.1).all()
    assert (angles <= HIGH + 0.1).all()
    bent = angles[:, [1, 5, 9, 13]].mean(1)
    assert np.mean(bent < 25) > 0.1  # open hands, fists and what lies between
    assert np.mean(bent > 70) > 0.1
    path = Path(hand_pipeline.__file__).parent / "assets/real_poses/real_poses.npz"
    assert path.stat().st_size < 400_000


def test_the_share_of_real_poses_is_what_is_asked_for(skeleton: Skeleton) -> None:
    real = real_poses()
    drawn = [sample_hands(generators(60), skeleton, 1.0, 2.0, real=share) for share in (0.0, 1.0)]
    nearest = [np.abs(d.angles[:, None] - real[None]).max(2).min(1) for d in drawn]
    assert np.median(nearest[1]) < 10 < np.median(nearest[0])
