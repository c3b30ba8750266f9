"""F-scores of meshes: how many vertices have a counterpart within a distance."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree


def f_scores(
    vertices: Float[np.ndarray, "samples vertices 3"],
    truth: Float[np.ndarray, "samples true_vertices 3"],
    thresholds: tuple[float, ...] = (0.005, 0.015),
    workers: int | None = None,
) -> Float[np.ndarray, "samples thresholds"]:
    """Harmonic mean of precision and recall of each mesh, at each threshold.

    FreiHAND (Zimmermann et al. 2019), official program: precision is the share of predicted
    vertices whose nearest true vertex is strictly nearer than the threshold, recall the reverse;
    on the vertices themselves, no surface is sampled; 0 where both are 0. Neighbours are exact.

    Args:
        vertices: predicted, metres.
        truth: labelled, metres.
        thresholds: metres; the default is 5 and 15 mm.
        workers: threads; None takes every core that this process may use.
    """
    limits = np.asarray(thresholds)

    def score(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return _f_score(pair[0], pair[1], limits)

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(score, zip(vertices, truth, strict=True), chunksize=64))
    return np.stack(rows) if rows else np.empty((0, len(limits)))


def _f_score(vertices: np.ndarray, truth: np.ndarray, limits: np.ndarray) -> np.ndarray:
    # Beyond the largest threshold a distance need not be known, and an early stop keeps the search
    # cheap for hands far apart; a hair above it, so that the strict comparison stays ours.
    bound = limits.max() * (1 + 1e-6)
    to_truth, _ = cKDTree(truth).query(vertices, distance_upper_bound=bound)
    to_prediction, _ = cKDTree(vertices).query(truth, distance_upper_bound=bound)
    precision = (to_truth[:, None] < limits).mean(0)
    recall = (to_prediction[:, None] < limits).mean(0)
    total = precision + recall
    return np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
