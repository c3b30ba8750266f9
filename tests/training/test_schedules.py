from itertools import pairwise

import pytest

from hand_pipeline.training.schedules import cosine, linear, warmup_cosine, warmup_steps_down


def test_cosine_goes_from_start_over_the_middle_to_final():
    assert cosine(0, 100, 0.04, 0.4) == pytest.approx(0.04)
    assert cosine(50, 100, 0.04, 0.4) == pytest.approx(0.22)
    assert cosine(100, 100, 0.04, 0.4) == pytest.approx(0.4)
    assert cosine(900, 100, 0.04, 0.4) == pytest.approx(0.4)


def test_linear_stops_at_final_and_without_length_is_constant():
    assert [linear(s, 4, 0.0, 1.0) for s in (0, 1, 2, 4, 9)] == [0.0, 0.25, 0.5, 1.0, 1.0]
    assert linear(0, 0, 0.04, 0.07) == 0.07


def test_learning_rate_rises_linearly_then_falls_to_final():
    rates = [warmup_cosine(s, 100, 2e-3, 10) for s in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(1e-3)
    assert max(rates) == rates[10] == pytest.approx(2e-3)
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[100] == pytest.approx(1e-6)


def test_learning_rate_without_warmup_starts_at_its_peak():
    assert warmup_cosine(0, 10, 1.0, 0) == 1.0


def test_a_stepped_rate_falls_by_its_factor_at_every_interval_and_not_between():
    rates = [warmup_steps_down(s, 1e-3, 0, 30, 0.5) for s in range(90)]
    assert rates == [1e-3] * 30 + [5e-4] * 30 + [2.5e-4] * 30


def test_a_stepped_rate_rises_first_and_its_falls_are_counted_from_the_start():
    rates = [warmup_steps_down(s, 1.0, 4, 6, 1 / 3) for s in range(13)]
    assert rates[:6] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert rates[6:] == pytest.approx([1 / 3] * 6 + [1 / 9])
