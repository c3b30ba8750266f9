"""Signs in the numbers that 2D predictions are in the wrong form; see `plausibility`."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from hand_pipeline.evaluation.scorers.plausibility import FAR_BETTER
from hand_pipeline.geometry.joints import ORDERS, permutation

_NOTICEABLE = 0.05  # of the box: nothing is to be explained below it
_FEW = 3  # hands of one side from which a habit can be told

Error = Callable[[np.ndarray], np.ndarray]


def implausible_2d(
    points: Float[np.ndarray, "hands 21 2"],
    truth: Float[np.ndarray, "hands 21 2"],
    seen: Bool[np.ndarray, "hands 21"],
    sizes: Float[np.ndarray, " hands"],
    centres: Float[np.ndarray, "hands 2"],
    is_right: Bool[np.ndarray, " hands"],
) -> list[str]:
    """Why predicted pixels look wrong, a sentence each; nothing if they look right.

    Args:
        points: predicted, px of the full photo.
        truth: labelled.
        seen: which joints are labelled.
        sizes: longer side of the hands' boxes, px.
        centres: of the boxes, px.
        is_right: side of the hands.
    """
    rows = np.flatnonzero(seen.any(axis=1) & (sizes > 0))
    if not rows.size:
        return []
    points, truth, seen = points[rows], truth[rows], seen[rows]
    sizes, centres, is_right = sizes[rows], centres[rows], is_right[rows]

    def error(candidate: np.ndarray) -> np.ndarray:
        """Mean error of each hand, shares of its box."""
        near = np.where(seen, np.linalg.norm(candidate - truth, axis=-1), 0)
        found: np.ndarray = near.sum(axis=1) / seen.sum(axis=1) / sizes
        return found

    given = error(points)
    checks = (
        _pixels(points, truth, seen, error, given),
        _mirrored(points, centres, is_right, error, given),
        _order(points, error, given),
        _axes(points, error, given),
    )
    return [text for text in checks if text]


def _far_better(candidate: np.ndarray, given: np.ndarray) -> bool:
    before, after = float(np.median(given)), float(np.median(candidate))
    return before > _NOTICEABLE and after < FAR_BETTER * before


def _pixels(
    points: np.ndarray, truth: np.ndarray, seen: np.ndarray, error: Error, given: np.ndarray
) -> str:
    """Shape right, but small or large: other units than the full photo's pixels."""
    weight = seen[..., None] / seen.sum(axis=1)[:, None, None]
    mean, true_mean = ((p * weight).sum(axis=1, keepdims=True) for p in (points, truth))
    spread, true_spread = (
        np.sqrt((np.square(p - m) * weight).sum(axis=(1, 2)))
        for p, m in ((points, mean), (truth, true_mean))
    )
    ratio = true_spread / np.maximum(spread, 1e-12)
    if 0.5 < float(np.median(ratio)) < 2:
        return ""
    fitted = (points - mean) * ratio[:, None, None] + true_mean
    if not _far_better(error(fitted), given):
        return ""
    return (
        f"wrong units: labelled hands are {float(np.median(ratio)):.3g} times as large as the "
        "predicted ones, which fit after scaling: they look like pixels of the crop or normalised "
        "coordinates where pixels of the full photo are expected"
    )


def _mirrored(
    points: np.ndarray, centres: np.ndarray, is_right: np.ndarray, error: Error, given: np.ndarray
) -> str:
    reflected = points.copy()
    reflected[..., 0] = 2 * centres[:, None, 0] - reflected[..., 0]
    after = error(reflected)
    sides = {"left": ~is_right, "right": is_right}
    wrong = [
        side
        for side, rows in sides.items()
        if rows.sum() >= min(_FEW, len(rows)) and _far_better(after[rows], given[rows])
    ]
    if not wrong:
        return ""
    return (
        f"mirrored: the {' and '.join(wrong)} hands fit far better when mirrored at the middle of "
        "their boxes; left hands that a model saw mirrored must be mirrored back"
    )


def _order(points: np.ndarray, error: Error, given: np.ndarray) -> str:
    candidates = {ORDERS[name]: name for name in reversed(ORDERS)}
    fits = {
        name: error(points[:, list(permutation(name, "openpose"))])
        for names, name in candidates.items()
        if names != ORDERS["openpose"]
    }
    best = min(fits, key=lambda name: float(np.median(fits[name])))
    if not _far_better(fits[best], given):
        return ""
    return (
        f"wrong joint order: the joints fit far better if read in the order of {best!r} instead of "
        f"'openpose'; reorder with geometry.joints.permutation({best!r}, 'openpose')"
    )


def _axes(points: np.ndarray, error: Error, given: np.ndarray) -> str:
    if not _far_better(error(points[..., ::-1]), given):
        return ""
    return "wrong axes: the joints fit far better with x and y exchanged"
