"""How near meshes are by nearest vertices, without correspondence: F-score, Chamfer, Hausdorff."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree


class SurfaceDistances(NamedTuple):
    """Distances of each mesh from its truth; nearest neighbours are vertices and exact.

    Attributes:
        chamfer: m^2, sum of the two one-directional parts.
        chamfer_to_truth: m^2, mean over the predicted vertices of the squared distance to the
            nearest true one; large where something is there that should not be.
        chamfer_to_prediction: m^2, the reverse; large where something is missing.
        hausdorff: m, the larger of the two one-directional parts.
        hausdorff_to_truth: m, largest distance of a predicted vertex from the nearest true one.
        hausdorff_to_prediction: m, the reverse.
    """

    chamfer: Float[np.ndarray, " samples"]
    chamfer_to_truth: Float[np.ndarray, " samples"]
    chamfer_to_prediction: Float[np.ndarray, " samples"]
    hausdorff: Float[np.ndarray, " samples"]
    hausdorff_to_truth: Float[np.ndarray, " samples"]
    hausdorff_to_prediction: Float[np.ndarray, " samples"]


def surface_distances(
    vertices: Float[np.ndarray, "samples vertices 3"],
    truth: Float[np.ndarray, "samples true_vertices 3"],
    workers: int | None = None,
) -> SurfaceDistances:
    """Chamfer and Hausdorff distances, as MaskHand's text-to-mesh table (arXiv 2412.13393) has.

    Nothing is aligned, and no surface is sampled.

    Deviation: the paper prints neither unit nor formula of the Chamfer distance; its 9.73e-5 can
    only be m^2, and we add both directions' means of squares, as is usual.

    Args:
        vertices: predicted, metres.
        truth: labelled, metres; may have another number of vertices.
        workers: threads; None takes every core that this process may use.

    Raises:
        ValueError: meshes without vertices, a different number of meshes, or a vertex that is not
            finite.
    """
    if not vertices.shape[1] or not truth.shape[1]:
        raise ValueError(
            f"expected meshes with vertices, got {vertices.shape[1]} predicted and "
            f"{truth.shape[1]} true ones"
        )
    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(_distances, zip(vertices, truth, strict=True), chunksize=64))
    table = np.stack(rows) if rows else np.empty((0, 4))
    mean_there, mean_back, most_there, most_back = table.T
    return SurfaceDistances(
        chamfer=mean_there + mean_back,
        chamfer_to_truth=mean_there,
        chamfer_to_prediction=mean_back,
        hausdorff=np.maximum(most_there, most_back),
        hausdorff_to_truth=most_there,
        hausdorff_to_prediction=most_back,
    )


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


def _distances(pair: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "4"]:
    vertices, truth = pair
    there, _ = cKDTree(truth).query(vertices)
    back, _ = cKDTree(vertices).query(truth)
    found = np.array([np.square(there).mean(), np.square(back).mean(), there.max(), back.max()])
    return found


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
