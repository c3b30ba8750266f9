"""PCK and the area under it."""

import numpy as np
import pytest

from hand_pipeline.evaluation.curves import THRESHOLDS_MM, ErrorTally


def tally(errors: np.ndarray, thresholds: np.ndarray = THRESHOLDS_MM) -> ErrorTally:
    counted = ErrorTally(thresholds)
    counted.add(errors)
    return counted


def test_errors_equal_to_the_threshold_are_within():
    errors = np.array([[0.0, 10.0, 20.0, 60.0]])
    shares = tally(errors, np.array([0.0, 10.0, 19.9, 50.0])).shares
    np.testing.assert_array_equal(shares, [0.25, 0.5, 0.5, 0.75])


def test_a_perfect_copy_has_area_one_and_anything_else_at_most_the_official_cap():
    assert tally(np.zeros((4, 21))).area == pytest.approx(1)
    assert tally(np.full((4, 21), 1e-9)).area == pytest.approx(1 - 0.5 / 99)


def test_errors_beyond_the_last_threshold_have_no_area():
    assert tally(np.full((4, 21), 50.1)).area == 0


def test_the_grid_is_the_official_one():
    assert len(THRESHOLDS_MM) == 100
    assert THRESHOLDS_MM[[0, -1]].tolist() == [0, 50]


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        _ = ErrorTally(THRESHOLDS_MM).shares


def test_errors_added_in_pieces_count_as_all_compared_at_once():
    errors = np.random.default_rng(0).uniform(0, 70, size=(9, 21))
    errors[0, :3] = THRESHOLDS_MM[[0, 7, 99]]
    pieces = tally(errors[:4])
    pieces.add(errors[4:])
    within = (errors[..., None] <= THRESHOLDS_MM).mean((0, 1))
    np.testing.assert_allclose(pieces.shares, within, rtol=1e-12)
    np.testing.assert_array_equal(pieces.means, errors.mean(axis=1))
    assert pieces.area == pytest.approx(np.trapezoid(within, THRESHOLDS_MM) / 50)
