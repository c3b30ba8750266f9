"""Left or right by the better fit: a hand's own side fits its landmarks, the other one does not."""

import numpy as np
import pytest
import torch

from hand_pipeline.data.photos.cropping import CropConfig
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, Side
from hand_pipeline.evaluation.reconstruct import LooksConfig, PhotoReconstructor
from hand_pipeline.evaluation.sides import better_sides, both_sides
from hand_pipeline.geometry.camera import default_intrinsics, project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import untrained_method
from hand_pipeline.training.method import Reconstructor

CAMERA = default_intrinsics(640, 480)


def seen(truth: Side, called: Side, score: float, seed: int = 0) -> Detection:
    """A posed hand of `truth` as a detector sees it that calls it `called`."""
    mano = ManoHand(side=truth, tips="freihand")
    generator = torch.Generator().manual_seed(seed)
    pose = mano.full_pose(0.3 * torch.randn(1, 48, generator=generator), flat_hand_mean=False)
    joints = mano(pose, torch.zeros(1, 10), torch.tensor([[0.05, 0.02, 0.6]])).joints[0]
    flat, deep = project(joints[None], CAMERA[None])[0].numpy(), (joints - joints.mean(0)).numpy()
    box = np.concatenate([flat.min(0), flat.max(0)])
    return Detection(box, flat.astype(np.float64), deep.astype(np.float64), called, score, 1)


class Sees:
    cfg = DetectorConfig()

    def __init__(self, *hands: Detection) -> None:
        self.hands = list(hands)

    def __call__(self, photo: np.ndarray) -> list[Detection]:
        return self.hands


def test_only_unsure_hands_are_tried_as_the_other_side_too() -> None:
    sure, unsure = seen("right", "right", 0.95), seen("right", "left", 0.6)
    tried = both_sides([sure, unsure], below=0.9)
    assert [hand.handedness for hand in tried.hands] == ["right", "left", "right"]
    assert tried.of == [1]
    assert tried.hands[2].score == pytest.approx(0.4)
    assert better_sides(tried, torch.tensor([0.5, 0.2, 0.1])) == [0, 2]
    assert better_sides(tried, torch.tensor([0.5, 0.1, 0.2])) == [0, 1]


@pytest.mark.parametrize("truth", ["right", "left"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_side_that_the_joints_allow_wins_whatever_the_detector_said(
    truth: Side, seed: int
) -> None:
    model = untrained_method("mediapipe")
    assert isinstance(model, Reconstructor)
    photo = np.zeros((480, 640, 3), np.uint8)
    for called in ("right", "left"):
        hand = seen(truth, called, 0.6, seed)
        [[placed]] = PhotoReconstructor(Sees(hand), model, CropConfig())(photo, CAMERA)
        assert placed.detection.handedness == truth
        assert placed.as_json().get("side_changed", False) == (called != truth)
        np.testing.assert_allclose(placed.joints_2d, hand.landmarks_2d, atol=8)


def test_a_sure_detector_is_believed() -> None:
    model = untrained_method("mediapipe")
    assert isinstance(model, Reconstructor)
    photo = np.zeros((480, 640, 3), np.uint8)
    for looks, score in ((LooksConfig(), 0.95), (LooksConfig(both_sides_below=0), 0.5)):
        detector = Sees(seen("right", "left", score))
        reconstruct = PhotoReconstructor(detector, model, CropConfig(), looks=looks)
        [[placed]] = reconstruct(photo, CAMERA)
        assert placed.detection.handedness == "left"
        assert "side_changed" not in placed.as_json()
