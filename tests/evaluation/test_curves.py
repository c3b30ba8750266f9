"""PCK and the area under it."""

import numpy as np
import pytest

from hand_pipeline.evaluation.curves import THRESHOLDS_MM, ErrorTally, area_under_curve, pck


def test_pck_counts_errors_equal_to_the_threshold():
    errors = np.array([[0.0, 10.0, 20.0, 60.0]])
    shares = pck(errors, np.array([0.0, 10.0, 19.9, 50.0]))
    np.testing.assert_array_equal(shares, [0.25, 0.5, 0.5, 0.75])


def test_a_perfect_copy_has_area_one_and_anything_else_at_most_the_official_cap():
    assert area_under_curve(pck(np.zeros((4, 21)))) == pytest.approx(1)
    assert area_under_curve(pck(np.full((4, 21), 1e-9))) == pytest.approx(1 - 0.5 / 99)


def test_errors_beyond_the_last_threshold_have_no_area():
    assert area_under_curve(pck(np.full((4, 21), 50.1))) == 0


def test_the_grid_is_the_official_one():
    assert len(THRESHOLDS_MM) == 100
    assert THRESHOLDS_MM[[0, -1]].tolist() == [0, 50]


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        pck(np.empty((0, 21)))


def test_a_tally_counts_in_pieces_what_pck_counts_at_once():
    errors = np.random.default_rng(0).uniform(0, 70, size=(9, 21))
    errors[0, :3] = THRESHOLDS_MM[[0, 7, 99]]  # ties count as within
    tally = ErrorTally(THRESHOLDS_MM)
    tally.add(errors[:4])
    tally.add(errors[4:])
    np.testing.assert_array_equal(tally.shares, pck(errors))
    np.testing.assert_array_equal(tally.means, errors.mean(axis=1))
    assert tally.area == area_under_curve(pck(errors))
