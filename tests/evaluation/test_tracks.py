"""Hands keep their numbers over a clip, and lose their jitter but not their place."""

import math

import numpy as np
import pytest
import torch

from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.evaluation.reconstruct import PlacedHand
from hand_pipeline.evaluation.tracks import Tracks, TracksConfig, mean_acceleration, posed
from hand_pipeline.geometry.camera import default_intrinsics, project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

CAMERA = default_intrinsics(640, 480)
MANO = ManoHand(tips="freihand")


def hand(x: float = 0.0, side: str = "right", noise: float = 0.0, bend: float = 0.0, seed: int = 0):
    """A hand 0.6 m away, x metres to the right; noise of pose (radians), place and shape."""
    generator = torch.Generator().manual_seed(seed)

    def error(*shape: int) -> torch.Tensor:
        return noise * torch.randn(*shape, generator=generator)

    model = ManoHand(side=side, tips="freihand")
    turns = error(16, 3)
    turns[1:, 2] += bend
    pose, betas = axis_angle_to_matrix(turns), 5 * error(10)
    place = torch.tensor([x, 0.0, 0.6]) + 0.12 * error(3)
    mesh = model(pose[None], betas[None], place[None])
    joints = mesh.joints[0]
    flat = project(joints, CAMERA)
    box = torch.cat([flat.amin(0), flat.amax(0)]).numpy()
    seen = Detection(box, flat.numpy(), joints.numpy(), side, 0.9, 1)
    return PlacedHand(seen, mesh.vertices[0], model.faces, joints, flat, pose, betas, place)


def test_hands_keep_their_numbers_when_their_order_changes_and_one_is_away_for_a_moment() -> None:
    tracks = Tracks(MANO, TracksConfig(smooth=False))
    first = tracks([hand(-0.1), hand(0.1, "left")], 0.0, CAMERA)
    assert [each.track for each in first] == [0, 1]
    assert [each.track for each in tracks([hand(0.11, "left"), hand(-0.1)], 0.1, CAMERA)] == [1, 0]
    assert [each.track for each in tracks([hand(-0.1)], 0.2, CAMERA)] == [0]
    back = tracks([hand(0.12, "left"), hand(-0.1)], 0.3, CAMERA)
    assert [each.track for each in back] == [1, 0]


def test_another_hand_and_one_that_was_long_away_get_new_numbers() -> None:
    tracks = Tracks(MANO, TracksConfig())
    tracks([hand(-0.15)], 0.0, CAMERA)
    assert tracks([hand(0.2)], 0.1, CAMERA)[0].track == 1  # a size of the hand and more away
    assert tracks([hand(-0.15, "left")], 0.2, CAMERA)[0].track == 2  # here, but the other hand
    assert tracks([hand(-0.15)], 5.0, CAMERA)[0].track == 3
    assert tracks.given == 4


def test_without_smoothing_hands_are_as_they_were() -> None:
    tracks = Tracks(MANO, TracksConfig(smooth=False))
    for frame in range(3):
        given = hand(noise=0.1, seed=frame)
        [found] = tracks([given], frame / 25, CAMERA)
        assert found.vertices is given.vertices


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_still_hand_stands_still_and_keeps_its_own_mesh(side: str) -> None:
    tracks = Tracks(MANO, TracksConfig())
    for frame in range(4):
        [found] = tracks([hand(0.05, side, bend=0.4)], frame / 25, CAMERA)
    expected = hand(0.05, side, bend=0.4)
    torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.joints_2d, expected.joints_2d, atol=1e-2, rtol=0)


def clip(noise: float) -> tuple[list[PlacedHand], np.ndarray]:
    """Two seconds of a hand that waves across the picture and closes; and the times."""
    times = np.arange(50) / 25
    hands = [
        hand(0.08 * math.sin(math.pi * t), noise=noise, bend=0.4 * math.sin(2 * t), seed=number)
        for number, t in enumerate(times)
    ]
    return hands, times


def test_jitter_falls_and_the_error_does_not_grow() -> None:
    truth, times = clip(0.0)
    seen, _ = clip(0.06)
    tracks = Tracks(MANO, TracksConfig())
    smooth = [tracks([h], t, CAMERA)[0] for h, t in zip(seen, times.tolist())]
    assert {each.track for each in smooth} == {0}

    def joints(hands: list[PlacedHand]) -> np.ndarray:
        return np.stack([each.joints_3d.numpy() for each in hands])

    before, after = mean_acceleration(joints(seen), times), mean_acceleration(joints(smooth), times)
    assert after < 0.5 * before
    errors = [np.linalg.norm(joints(h) - joints(truth), axis=-1).mean() for h in (seen, smooth)]
    assert errors[1] < errors[0]


def test_the_acceleration_of_a_fall_is_its_own() -> None:
    """9.81 m/s^2 at any frame rate, also a varying one; Newton's, not ours."""
    times = np.array([0.0, 0.03, 0.07, 0.1, 0.2, 0.21])
    fall = np.zeros((6, 21, 3))
    fall[..., 1] = 0.5 * 9.81 * times[:, None] ** 2
    assert mean_acceleration(fall, times) == pytest.approx(9.81, rel=1e-6)
    with pytest.raises(ValueError, match="three frames, got 2"):
        mean_acceleration(fall[:2], times[:2])


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_hand_of_other_parameters_is_that_of_its_side_s_model(side: str) -> None:
    other = hand(-0.1, side, noise=0.2, seed=7)
    found = posed(hand(0, side), MANO, other.mano_pose, other.betas, other.translation, CAMERA)
    torch.testing.assert_close(found.vertices, other.vertices, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.joints_3d, other.joints_3d, atol=1e-6, rtol=1e-5)
