import numpy as np
import pytest

from hand_pipeline.evaluation.keypoints_2d import THRESHOLDS_PX, score_joints_2d

ALL = np.ones((4, 21), dtype=bool)
TRUTH = np.random.default_rng(0).uniform(0, 224, (4, 21, 2))


def moved(px: float) -> np.ndarray:
    return TRUTH + np.array([px * 0.6, px * 0.8])


def test_joints_at_one_distance_give_the_area_beyond_it():
    # a step from 0 to 1 between 9 and 10 px: trapezoids of 39 whole steps and half a one, over 49
    found = score_joints_2d(moved(9.5), TRUTH, ALL)
    assert found.figures["auc_2d"] == pytest.approx(39.5 / 49)
    assert found.figures["error_mean_px"] == pytest.approx(9.5)
    assert found.curve["threshold_px"].tolist() == THRESHOLDS_PX.tolist() == list(range(50))
    assert found.curve["joints"].tolist() == [0.0] * 10 + [1.0] * 40


def test_exact_joints_give_one_and_distant_ones_nothing():
    assert score_joints_2d(TRUTH, TRUTH, ALL).figures["auc_2d"] == 1
    assert score_joints_2d(moved(50), TRUTH, ALL).figures["auc_2d"] == 0


def test_a_joint_that_was_not_found_is_within_no_distance():
    given = ALL.copy()
    given[0] = False
    found = score_joints_2d(TRUTH, TRUTH, ALL, given)
    assert found.figures["auc_2d"] == pytest.approx(0.75)
    assert found.figures["found"] == 0.75
    assert found.figures["error_mean_px"] == 0
    nothing = score_joints_2d(TRUTH, TRUTH, ALL, ~ALL)
    assert nothing.figures["auc_2d"] == 0
    assert np.isnan(nothing.figures["error_mean_px"])


def test_only_labelled_joints_count():
    wild = moved(9.5)
    wild[:, 20] = 1e6
    labelled = ALL.copy()
    labelled[:, 20] = False
    assert score_joints_2d(wild, TRUTH, labelled).figures["auc_2d"] == pytest.approx(39.5 / 49)
    with pytest.raises(ValueError, match="expected labelled 2D joints"):
        score_joints_2d(wild, TRUTH, ~ALL)
