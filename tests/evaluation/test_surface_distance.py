"""Chamfer and Hausdorff distances at their limits."""

import numpy as np
import pytest

from hand_pipeline.evaluation.surface_distance import surface_distances


def test_a_copy_in_another_order_is_at_no_distance():
    mesh = np.random.default_rng(0).uniform(0, 0.1, (1, 50, 3))
    for values in surface_distances(mesh, mesh[:, ::-1]):
        assert values[0] == 0


def test_a_far_point_counts_on_its_own_side_only():
    truth = np.zeros((1, 4, 3))
    mesh = truth.copy()
    mesh[0, 0, 0] = 0.02
    found = surface_distances(mesh, truth)
    assert found.chamfer_to_truth[0] == pytest.approx(1e-4)
    assert found.chamfer[0] == pytest.approx(1e-4)
    assert found.hausdorff_to_truth[0] == pytest.approx(0.02)
    assert found.hausdorff[0] == pytest.approx(0.02)
    assert found.chamfer_to_prediction[0] == found.hausdorff_to_prediction[0] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_threads_do_not_change_the_order(workers):
    rng = np.random.default_rng(1)
    mesh, truth = rng.normal(size=(70, 20, 3)), rng.normal(size=(70, 25, 3))
    together = np.stack(surface_distances(mesh, truth, workers))
    alone = [np.concatenate(surface_distances(m[None], t[None])) for m, t in zip(mesh, truth)]
    np.testing.assert_array_equal(together, np.stack(alone, axis=1))


def test_no_meshes_give_no_distances():
    found = surface_distances(np.empty((0, 5, 3)), np.empty((0, 5, 3)))
    assert all(values.shape == (0,) for values in found)


def test_meshes_without_vertices_and_vertices_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="got 0 predicted and 5 true"):
        surface_distances(np.empty((1, 0, 3)), np.zeros((1, 5, 3)))
    for bad in ((np.full((1, 5, 3), np.nan), np.zeros((1, 5, 3))),
                (np.zeros((1, 5, 3)), np.full((1, 5, 3), np.nan))):  # fmt: skip
        with pytest.raises(ValueError, match="finite"):
            surface_distances(*bad)
