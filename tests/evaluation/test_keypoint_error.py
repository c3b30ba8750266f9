"""Errors of detected joints: known shifts give known figures."""

import numpy as np
import pytest

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.evaluation.keypoints_2d import errors_by_hand, score_keypoints
from hand_pipeline.geometry.joints import OPENPOSE


@pytest.fixture
def truth() -> np.ndarray:
    """Ten hands whose joints' boxes have a longer side of 50 px."""
    points = np.random.default_rng(0).uniform(20, 60, (10, 21, 2)).astype(np.float32)
    points[:, 0], points[:, 20] = [20, 15], [60, 65]
    return points


def seen(points: np.ndarray, confidence: np.ndarray) -> DetectedKeypoints:
    ids = tuple(str(row) for row in range(len(points)))
    return DetectedKeypoints(ids, points, confidence.astype(np.float32), 80)


def test_errors_are_shares_of_the_hands_size(truth: np.ndarray) -> None:
    away = np.zeros_like(truth)
    away[:, 8] = [3, 4]  # 5 of 50 px
    found = seen(truth + away, np.full((10, 21), 0.8))
    figures = score_keypoints(found, truth, np.ones((10, 21), bool))
    assert figures["hands_found"] == figures["joints_found"] == 1
    assert figures["confidence_mean"] == pytest.approx(0.8)
    assert figures["joints"]["index_4"]["error_median"] == pytest.approx(0.1, abs=1e-5)
    assert figures["joints"]["index_3"]["error_p90"] == pytest.approx(0, abs=1e-5)
    assert list(figures["joints"]) == list(OPENPOSE)
    by_hand = errors_by_hand(found, truth, np.ones((10, 21), bool))
    np.testing.assert_allclose(by_hand, 0.1 / 21, atol=1e-6)


def test_the_percentile_is_over_all_found_joints(truth: np.ndarray) -> None:
    away = np.zeros_like(truth)
    away[8:] = [30, 40]  # two hands of ten, a whole hand's size
    figures = score_keypoints(seen(truth + away, np.ones((10, 21))), truth, np.ones((10, 21), bool))
    assert figures["error_median"] == pytest.approx(0, abs=1e-5)
    assert figures["error_p90"] == pytest.approx(1, abs=1e-5)


def test_joints_not_found_or_not_labelled_count_as_such_only(truth: np.ndarray) -> None:
    confidence, labelled = np.ones((10, 21)), np.ones((10, 21), bool)
    confidence[0], confidence[1, 5], labelled[2, 5] = 0, 0, False
    wild = truth.copy()
    wild[0], wild[1, 5], wild[2, 5] = 1e3, 1e3, 1e3
    figures = score_keypoints(seen(wild, confidence), truth, labelled)
    assert figures["hands_found"] == 0.9
    assert figures["joints_found"] == pytest.approx((210 - 21 - 1 - 1) / 209, abs=1e-5)
    assert figures["joints"]["index_1"]["found"] == pytest.approx(7 / 9, abs=1e-5)
    assert figures["error_p90"] == pytest.approx(0, abs=1e-5)
    assert np.isnan(errors_by_hand(seen(wild, confidence), truth, labelled)[0])


def test_without_labels_only_shares_remain(truth: np.ndarray) -> None:
    found = seen(truth, np.ones((10, 21)))
    figures = score_keypoints(found, np.zeros_like(truth), np.zeros((10, 21), bool))
    assert figures["hands_found"] == 1
    assert "error_median" not in figures
    assert "joints_found" not in figures
    assert figures["joints"]["wrist"] == {}
