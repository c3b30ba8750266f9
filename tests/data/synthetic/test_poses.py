import numpy as np
import pytest
import torch

from hand_pipeline.data.synthetic.poses import (
    GESTURES,
    Skeleton,
    posed_joints,
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
