"""Figures of confidence against scipy and against counting pairs one by one."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from hand_pipeline.evaluation.calibration import (
    best_of_k,
    calibration_curve,
    error_auroc,
    spearman,
)


@pytest.fixture(params=["continuous", "with ties"])
def samples(request) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    errors = rng.gamma(2.0, 5.0, 150)
    confidence = np.exp(-errors / 10) + rng.normal(0, 0.3, 150)
    if request.param == "with ties":
        errors, confidence = np.round(errors), np.round(confidence, 1)
    return confidence, errors


def test_spearman_is_scipys(samples):
    assert spearman(*samples) == pytest.approx(spearmanr(*samples).statistic, abs=1e-12)


def test_auroc_is_the_share_of_pairs_in_the_right_order(samples):
    confidence, errors = samples
    won = [
        1.0 if confidence[bad] < confidence[good] else 0.5 * (confidence[bad] == confidence[good])
        for bad in np.flatnonzero(errors > 10)
        for good in np.flatnonzero(errors <= 10)
    ]
    assert error_auroc(confidence, errors) == pytest.approx(np.mean(won), abs=1e-12)


def test_auroc_is_the_area_under_the_curve_of_rates():
    rng = np.random.default_rng(6)
    confidence, errors = rng.random(200), rng.gamma(2.0, 5.0, 200)
    wrong = errors > 10
    hits, false_alarms = [0.0], [0.0]
    for threshold in np.sort(confidence):
        alarm = confidence <= threshold
        hits.append(np.mean(alarm[wrong]))
        false_alarms.append(np.mean(alarm[~wrong]))
    area = np.trapezoid(hits, false_alarms)
    assert error_auroc(confidence, errors) == pytest.approx(area, abs=1e-12)


def test_the_curve_without_ties_is_the_sorted_samples_in_equal_parts():
    rng = np.random.default_rng(7)
    confidence, errors = rng.random(120), rng.gamma(2.0, 5.0, 120)
    parts = np.split(np.argsort(confidence), 8)
    curve = calibration_curve(confidence, errors, limit_mm=7.0, num_bins=8)
    expected = {
        "confidence": [confidence[part].mean() for part in parts],
        "share_within": [np.mean(errors[part] <= 7) for part in parts],
        "error_mm": [errors[part].mean() for part in parts],
        "count": [15] * 8,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(curve[name], values, rtol=1e-12)


def test_best_of_k_photo_by_photo():
    rng = np.random.default_rng(8)
    confidence, errors = rng.random((30, 5)), rng.gamma(2.0, 5.0, (30, 5))
    rows = [(e[np.argmax(c)], np.mean(e), min(e)) for c, e in zip(confidence, errors)]
    found = best_of_k(confidence, errors)
    np.testing.assert_allclose(found[:3], np.mean(rows, axis=0), rtol=1e-12)
