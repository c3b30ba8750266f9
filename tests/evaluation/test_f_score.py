"""F-scores against brute force and at their limits."""

import numpy as np
import pytest

from hand_pipeline.evaluation.surface_distance import f_scores


def brute_force(prediction, truth, threshold):
    distances = np.linalg.norm(prediction[:, None] - truth[None], axis=-1)
    precision = np.mean(distances.min(1) < threshold)
    recall = np.mean(distances.min(0) < threshold)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def test_f_scores_match_brute_force():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 0.1, size=(4, 200, 3))
    prediction = (
        truth + rng.normal(size=truth.shape) * np.array([1, 3, 8, 80]).reshape(4, 1, 1) / 1e3
    )
    expected = [[brute_force(p, t, th) for th in (0.005, 0.015)] for p, t in zip(prediction, truth)]
    np.testing.assert_array_equal(f_scores(prediction, truth), expected)


def test_a_copy_scores_one_and_a_far_hand_scores_zero():
    truth = np.random.default_rng(1).uniform(0, 0.1, size=(2, 50, 3))
    prediction = truth + np.array([0, 1]).reshape(2, 1, 1)
    np.testing.assert_array_equal(f_scores(prediction, truth), [[1, 1], [0, 0]])


def test_the_threshold_itself_is_not_within():
    truth = np.zeros((1, 1, 3))
    prediction = np.array([[[0.5, 0, 0]]])  # exact in binary, so that the comparison is one of ties
    assert f_scores(prediction, truth, thresholds=(0.5,))[0, 0] == 0
    assert f_scores(prediction, truth, thresholds=(0.5001,))[0, 0] == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_do_not_change_the_order(workers):
    rng = np.random.default_rng(2)
    truth = rng.uniform(0, 0.1, size=(130, 20, 3))
    prediction = truth + rng.normal(size=truth.shape) * 0.01
    expected = np.concatenate([f_scores(p[None], t[None]) for p, t in zip(prediction, truth)])
    np.testing.assert_array_equal(f_scores(prediction, truth, workers=workers), expected)
