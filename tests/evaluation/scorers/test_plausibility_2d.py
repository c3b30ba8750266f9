"""The warnings of 2D predictions."""

import numpy as np
import pytest

from hand_pipeline.evaluation.scorers.plausibility_2d import implausible_2d
from hand_pipeline.geometry.joints import permutation


@pytest.fixture
def case(hands):
    """Pixels, labels with gaps, and boxes of right and left hands."""
    points, truth = (
        hands[name][..., :2] / hands[name][..., 2:] * 600 + np.array([320, 240])
        for name in ("pred_joints", "gt_joints")
    )
    seen = np.random.default_rng(0).random(truth.shape[:2]) < 0.8
    low, high = truth.min(axis=1), truth.max(axis=1)
    points = points - points.mean(axis=1, keepdims=True) + truth.mean(axis=1, keepdims=True)
    labels = {
        "truth": truth.astype(np.float64),
        "seen": seen,
        "sizes": (high - low).max(axis=1).astype(np.float64),
        "centres": ((low + high) / 2).astype(np.float64),
        "is_right": np.arange(len(truth)) % 2 == 0,
    }
    return points.astype(np.float64), labels


def keywords(points, labels):
    return [text.partition(":")[0] for text in implausible_2d(points, **labels)]


def test_good_and_noisy_predictions_raise_no_warning(case):
    points, labels = case
    rng = np.random.default_rng(0)
    assert keywords(points, labels) == []
    assert keywords(labels["truth"], labels) == []
    for spread in (5, 20, 60):
        assert keywords(labels["truth"] + rng.normal(size=points.shape) * spread, labels) == []


def test_nothing_is_said_of_hands_without_labels(case):
    points, labels = case
    assert keywords(points, labels | {"seen": np.zeros_like(labels["seen"])}) == []


def test_left_hands_that_were_not_mirrored_back_are_told(case):
    points, labels = case
    wrong = points.copy()
    left = ~labels["is_right"]
    wrong[left, :, 0] = 2 * labels["centres"][left, None, 0] - wrong[left, :, 0]
    (text,) = implausible_2d(wrong, **labels)
    assert text.startswith("mirrored: the left hands")


def test_pixels_of_a_crop_are_told(case):
    points, labels = case
    corner = labels["centres"] - labels["sizes"][:, None]
    normalised = (points - corner[:, None]) / (2 * labels["sizes"])[:, None, None] - 0.5
    assert keywords(normalised, labels) == ["wrong units"]
    assert keywords((normalised + 0.5) * 2000, labels) == ["wrong units"]


@pytest.mark.parametrize("written", ["mano", "interhand", "rhd"])
def test_a_wrong_joint_order_is_told(case, written):
    points, labels = case
    (text,) = implausible_2d(points[:, list(permutation("openpose", written))], **labels)
    assert text.startswith("wrong joint order")
    assert repr(written) in text


def test_exchanged_axes_are_told(case):
    points, labels = case
    assert keywords(points[..., ::-1].copy(), labels) == ["wrong axes"]
