"""Share of points within a distance, over distances, and the area under that curve."""

import numpy as np
from jaxtyping import Bool, Float

THRESHOLDS_MM = np.linspace(0.0, 50.0, 100)
"""FreiHAND's and HO-3D's: 100 values from 0 to 50 mm, both ends included."""


def pck_by_joint(
    distances: Float[np.ndarray, "hands joints"],
    limits: Float[np.ndarray, " hands"],
    counted: Bool[np.ndarray, "hands joints"],
) -> Float[np.ndarray, " joints"]:
    """Share of the counted hands in which each joint is within that hand's limit.

    HInt's PCK is the mean of these, which differs from the share of all joints pooled.

    Args:
        distances: of each predicted joint from the truth.
        limits: in the same unit, a hand each.
        counted: which joints of which hands.

    Returns:
        NaN for a joint that is counted nowhere.
    """
    labelled = counted.sum(axis=0)
    right = (distances <= limits[:, None]) & counted
    shares: np.ndarray = np.where(labelled > 0, right.sum(axis=0) / np.maximum(labelled, 1), np.nan)
    return shares


class ErrorTally:
    """Errors of many points, added hand by hand: only means and counts are kept, not the errors.

    A full HO-3D evaluation has 16 million vertex errors of each kind.

    Args:
        thresholds: rising, in the errors' unit; errors are counted by the first that they reach.
    """

    def __init__(self, thresholds: Float[np.ndarray, " thresholds"]) -> None:
        self.thresholds = thresholds
        self._counts = np.zeros(len(thresholds) + 1, dtype=np.int64)
        self._means: list[np.ndarray] = []

    def add(self, errors: Float[np.ndarray, "samples points"]) -> None:
        """Count the errors of some more hands, all with the same number of points."""
        first = np.searchsorted(self.thresholds, errors.ravel(), side="left")
        self._counts += np.bincount(first, minlength=len(self._counts))
        self._means.append(errors.mean(axis=1))

    @property
    def means(self) -> Float[np.ndarray, " samples"]:
        """Mean error of each hand."""
        return np.concatenate(self._means)

    @property
    def shares(self) -> Float[np.ndarray, " thresholds"]:
        """Share of all errors that are at most each threshold (<=, as in the official programs).

        The official programs take the share per point and average over points; every point has
        the same number of samples here, so that equals the share over all.

        Raises:
            ValueError: there are no errors to count.
        """
        total = self._counts.sum()
        if not total:
            raise ValueError("no errors to count: the evaluation set is empty")
        shares: np.ndarray = np.cumsum(self._counts)[:-1] / total
        return shares

    @property
    def area(self) -> float:
        """Trapezoid area under `shares`, divided by the range of the thresholds: 0 to 1.

        The first threshold of the official grid is 0, which only an exact copy reaches; anything
        else is capped at 1 - 0.5 / 99 = 0.99495.
        """
        span = self.thresholds[-1] - self.thresholds[0]
        return float(np.trapezoid(self.shares, self.thresholds) / span)
