"""Confidence: ties, equal values, one class, and what is refused."""

import numpy as np
import pytest

from hand_pipeline.evaluation.calibration import (
    best_of_k,
    calibration_curve,
    confidence_report,
    error_auroc,
    spearman,
)

ERRORS = np.array([2.0, 4.0, 8.0, 12.0, 16.0, 30.0])


def test_confidence_that_falls_with_the_error_is_perfect():
    report = confidence_report(-ERRORS, ERRORS, num_bins=2)
    assert report.summary() == {
        "confidence_spearman": pytest.approx(-1),
        "share_within": 0.5,
        "confidence_auroc": 1.0,
    }
    assert report.curve["share_within"].tolist() == [0.0, 1.0]
    assert report.curve["count"].tolist() == [3, 3]


def test_only_the_order_of_confidences_counts():
    confidence = np.random.default_rng(0).uniform(0.01, 1, 6)
    for other in (np.log(confidence), confidence**5):
        assert spearman(other, ERRORS) == spearman(confidence, ERRORS)
        assert error_auroc(other, ERRORS) == error_auroc(confidence, ERRORS)


def test_equal_confidences_say_nothing():
    report = confidence_report(np.full(6, 0.7), ERRORS)
    assert report.spearman == 0
    assert report.auroc == 0.5
    assert report.curve["count"].tolist() == [6]
    assert report.curve["share_within"].tolist() == [0.5]


def test_equal_errors_have_no_order():
    assert spearman(np.arange(4.0), np.full(4, 3.0)) == 0


@pytest.mark.parametrize("errors", [ERRORS / 10, ERRORS + 20])
def test_with_hands_of_one_kind_the_auroc_is_left_out(errors):
    report = confidence_report(-ERRORS, errors)
    assert report.auroc is None
    assert set(report.summary()) == {"confidence_spearman", "share_within"}
    assert np.isfinite(list(report.summary().values())).all()


def test_the_limit_itself_is_within():
    assert calibration_curve(np.ones(2), np.array([10.0, 10.1]))["share_within"].tolist() == [0.5]
    assert error_auroc(np.array([1.0, 0.0]), np.array([10.0, 10.1])) == 1.0


def test_equal_confidences_are_never_parted_whatever_the_order():
    confidence = np.array([0.1, 0.5, 0.5, 0.5, 0.5, 0.9])
    expected = calibration_curve(confidence, ERRORS, num_bins=3)
    assert expected["count"].tolist() == [1, 4, 1]
    order = np.array([4, 0, 5, 2, 1, 3])
    moved = calibration_curve(confidence[order], ERRORS[order], num_bins=3)
    np.testing.assert_allclose(moved.to_numpy(), expected.to_numpy())


@pytest.mark.parametrize(("samples", "bins"), [(100, 10), (7, 3), (3, 10)])
def test_bins_hold_equal_counts(samples, bins):
    rng = np.random.default_rng(1)
    curve = calibration_curve(rng.random(samples), rng.random(samples), num_bins=bins)
    assert len(curve) == min(samples, bins)
    assert curve["count"].sum() == samples
    assert np.ptp(curve["count"]) <= 1
    assert curve["confidence"].is_monotonic_increasing


def test_joints_count_like_hands():
    rng = np.random.default_rng(2)
    confidence, errors = rng.random((8, 21)), 20 * rng.random((8, 21))
    joints, flat = (
        confidence_report(c, e)
        for c, e in ((confidence, errors), (confidence.ravel(), errors.ravel()))
    )
    assert joints.summary() == flat.summary()
    assert joints.curve.equals(flat.curve)


def test_the_surest_hypothesis_is_compared_with_blind_choice_and_with_the_oracle():
    confidence = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    errors = np.array([[1.0, 2.0, 6.0], [1.0, 5.0, 3.0]])
    found = best_of_k(confidence, errors)
    assert (found.chosen_mm, found.mean_mm, found.oracle_mm) == (2.0, 3.0, 1.0)
    assert found.share_gained == 0.5


def test_equally_sure_hypotheses_are_drawn_from():
    errors = np.array([[1.0, 2.0, 6.0]])
    assert best_of_k(np.array([[0.4, 0.2, 0.4]]), errors).chosen_mm == 3.5
    found = best_of_k(np.full((1, 3), 0.1), errors)
    assert found.chosen_mm == found.mean_mm
    assert found.share_gained == 0


def test_equally_good_hypotheses_leave_nothing_to_gain():
    errors = np.full((7, 3), 0.1)  # whose mean is not 0.1
    assert best_of_k(np.arange(21.0).reshape(7, 3), errors).share_gained == 0


def test_one_hypothesis_leaves_nothing_to_gain():
    assert best_of_k(np.ones((3, 1)), np.arange(3.0)[:, None]) == (1.0, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("confidence", "errors", "message"),
    [
        (np.ones(1), np.ones(1), "at least 2 samples, got 1"),
        (np.array([0.0, -np.inf]), np.ones(2), "1 of 2 confidences are not finite"),
        (np.ones(2), np.array([1.0, np.nan]), "1 of 2 errors are not finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(confidence, errors, message):
    for measure in (confidence_report, spearman, error_auroc, calibration_curve):
        with pytest.raises(ValueError, match=message):
            measure(confidence, errors)


def test_no_photos_and_no_bins_are_refused():
    with pytest.raises(ValueError, match="at least 1 samples, got 0"):
        best_of_k(np.empty((0, 3)), np.empty((0, 3)))
    with pytest.raises(ValueError, match="num_bins=0"):
        calibration_curve(-ERRORS, ERRORS, num_bins=0)
