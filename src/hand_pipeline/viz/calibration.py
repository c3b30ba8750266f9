"""Confidence against error: is a confident hand a good one?"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hand_pipeline.viz.curves import COLOURS
from hand_pipeline.viz.figure import plain_axes

_GOOD, _WRONG = COLOURS[2], COLOURS[1]
_MOST_DOTS = 4000  # more cannot be told apart, and only make the file large


def calibration_figure(
    curve: pd.DataFrame,
    confidence: Float[np.ndarray, "*samples"],
    error_mm: Float[np.ndarray, "*samples"],
    limit_mm: float,
    title: str = "Confidence",
) -> Figure:
    """Left the share of good samples by confidence, right every sample's confidence and error.

    Args:
        curve: of `evaluation.calibration.calibration_curve`. The size of a dot is the bin's count.
        confidence: of hands or joints; of more than 4,000 an even choice is drawn.
        error_mm: of the same.
        limit_mm: largest error that counted as good in `curve`.
        title: above both.

    Raises:
        ValueError: there is no bin, or another number of errors than of confidences.
    """
    if curve.empty:
        raise ValueError("expected a calibration curve with at least one bin, got an empty one")
    if confidence.shape != error_mm.shape:
        raise ValueError(
            f"expected a confidence for each error, got {confidence.size} and {error_mm.size}"
        )
    figure = Figure(figsize=(9.0, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_curve(left, curve, limit_mm)
    every = max(1, -(-confidence.size // _MOST_DOTS))
    _draw_samples(right, confidence.ravel()[::every], error_mm.ravel()[::every], limit_mm)
    figure.suptitle(title)
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, limit_mm: float) -> None:
    overall = np.average(curve["share_within"], weights=curve["count"])
    axes.axhline(overall, color=COLOURS[0], linestyle="--", linewidth=1, label="all together")
    axes.plot(curve["confidence"], curve["share_within"], color=_GOOD, linewidth=2)
    sizes = 60 * curve["count"] / curve["count"].max()
    axes.scatter(curve["confidence"], curve["share_within"], sizes, color=_GOOD)
    axes.set(xlabel="mean confidence of the bin", ylabel=f"share within {limit_mm:g} mm")
    axes.set_ylim(-0.02, 1.02)
    axes.set_title(f"{int(curve['count'].sum())} samples in {len(curve)} bins", fontsize=10)
    axes.legend(frameon=False, fontsize=9)
    plain_axes(axes)


def _draw_samples(
    axes: Axes, confidence: np.ndarray, error_mm: np.ndarray, limit_mm: float
) -> None:
    wrong = error_mm > limit_mm
    for which, colour in ((~wrong, _GOOD), (wrong, _WRONG)):
        axes.scatter(confidence[which], error_mm[which], 8, color=colour, alpha=0.4, linewidths=0)
    axes.axhline(limit_mm, color=COLOURS[0], linestyle="--", linewidth=1)
    axes.set(xlabel="confidence", ylabel="error, mm")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{wrong.mean():.0%} above {limit_mm:g} mm", fontsize=10)
    plain_axes(axes)
