"""The probes' fits against scikit-learn's on the same numbers."""

import numpy as np
import pytest
import torch

from hand_pipeline.evaluation.photo_probe import fit_logistic, fit_ridge

linear_model = pytest.importorskip("sklearn.linear_model")


@pytest.mark.parametrize("penalty", [1e-3, 1e-1])
def test_logistic_regression_matches_scikit_learns(penalty: float) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    theirs = linear_model.LogisticRegression(C=1 / (60 * penalty), tol=1e-10, max_iter=10_000)
    theirs.fit(x, labels)
    ours = fit_logistic(torch.from_numpy(x), torch.from_numpy(labels), 3, penalty).numpy()
    np.testing.assert_allclose(ours[:-1], theirs.coef_.T, atol=1e-4)
    offsets = ours[-1] - ours[-1].mean()  # a common offset tells nothing apart
    np.testing.assert_allclose(offsets, theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4)


def test_ridge_regression_matches_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 5)) + 3, rng.normal(size=(60, 4))
    theirs = linear_model.Ridge(alpha=60 * 0.1).fit(x, y)
    ours = fit_ridge(torch.from_numpy(x), torch.from_numpy(y), 0.1).numpy()
    np.testing.assert_allclose(ours[:-1], theirs.coef_.T, atol=1e-9)
    np.testing.assert_allclose(ours[-1], theirs.intercept_, atol=1e-9)
