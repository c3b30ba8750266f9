"""Is a difference between two rows of a table more than chance? A paired test over seeds."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

FEWEST_SEEDS = 3
"""With fewer no test can be made."""
_FEWEST_FLIPPED = 5  # below, even differences of one sign cannot reach 0.05: 1 / 2**4 is 0.0625
_MOST_FLIPPED = 16  # beyond, all signs are too many to go through and the mean is near normal


class PairedTest(NamedTuple):
    """Whether differences are above zero.

    Attributes:
        p: chance of a mean at least as large if there were none; None: no test can be made.
        how: the test, or why there is none.
    """

    p: float | None
    how: str


def paired_test(differences: Float[np.ndarray, " seeds"]) -> PairedTest:
    """One-sided test that the mean of one figure less another, seed by seed, is above zero.

    From 5 to 16 seeds all signs of the differences are gone through (exact, and nothing is taken
    for normal); with 3 or 4 that could never reach 0.05, so Student's paired t-test stands in,
    which takes the differences for normal. Where they are all the same, t has no spread to divide
    by and the signs decide at any number of seeds.
    """
    seeds = len(differences)
    if seeds < FEWEST_SEEDS:
        return PairedTest(None, f"no test: {seeds} seed{'' if seeds == 1 else 's'}")
    if not differences.any():
        return PairedTest(1.0, "equal for every seed")
    alike = float(differences.std()) <= 1e-12 * float(np.abs(differences).max())
    if alike or _FEWEST_FLIPPED <= seeds <= _MOST_FLIPPED:
        return PairedTest(_flip_signs(differences[:_MOST_FLIPPED]), f"sign flips, {seeds} seeds")
    p = float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    return PairedTest(p, f"paired t-test, {seeds} seeds")


def _flip_signs(differences: np.ndarray) -> float:
    """Share of all signs that give a sum at least as large."""
    count = len(differences)
    signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    sums, seen = signs @ differences, differences.sum()
    return float((sums >= seen - 1e-12 * np.abs(differences).sum()).mean())
