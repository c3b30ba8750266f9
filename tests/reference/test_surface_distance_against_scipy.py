"""Hausdorff distance against scipy's, Chamfer distance against all pairs."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist, directed_hausdorff

from hand_pipeline.evaluation.surface_distance import surface_distances


@pytest.fixture(scope="module")
def meshes() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    truth = rng.uniform(0, 0.1, (5, 300, 3))
    return truth[:, :250] + rng.normal(0, 0.004, (5, 250, 3)), truth


def test_hausdorff_is_scipys(meshes):
    found = surface_distances(*meshes)
    for number, (mesh, truth) in enumerate(zip(*meshes)):
        there, back = directed_hausdorff(mesh, truth)[0], directed_hausdorff(truth, mesh)[0]
        assert found.hausdorff_to_truth[number] == pytest.approx(there, rel=1e-12)
        assert found.hausdorff_to_prediction[number] == pytest.approx(back, rel=1e-12)
        assert found.hausdorff[number] == max(
            found.hausdorff_to_truth[number], found.hausdorff_to_prediction[number]
        )


def test_chamfer_is_that_of_all_pairs(meshes):
    found = surface_distances(*meshes)
    for number, (mesh, truth) in enumerate(zip(*meshes)):
        squared = cdist(mesh, truth, "sqeuclidean")
        there, back = squared.min(1).mean(), squared.min(0).mean()
        assert found.chamfer_to_truth[number] == pytest.approx(there, rel=1e-12)
        assert found.chamfer_to_prediction[number] == pytest.approx(back, rel=1e-12)
        assert found.chamfer[number] == pytest.approx(there + back, rel=1e-12)
