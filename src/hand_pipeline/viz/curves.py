"""Curves over thresholds, over training steps and over confidence."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hand_pipeline.viz.figure import COLOURS, plain_axes, to_image

_PANELS_A_ROW = 4
_GOOD, _WRONG = COLOURS[2], COLOURS[1]
_MOST_DOTS = 4000  # more overlap, and only make the file large


def pck_curves(
    curves: Mapping[str, pd.DataFrame],
    column: str = "pa_vertices",
    title: str = "",
    unit: str = "mm",
) -> Figure:
    """Share of points within a distance, one line a model, with the area under it in the legend.

    Args:
        curves: name of the model to its `threshold_UNIT` and shares (`HandEvaluation.curves`).
        column: which share: joints, pa_joints, vertices or pa_vertices.
        title: above the figure; empty takes the column's name.
        unit: of the thresholds.

    Raises:
        ValueError: there are no curves, or none of that name.
    """
    if not curves:
        raise ValueError("expected at least one curve to draw, got none")
    figure = Figure(figsize=(5.6, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, table), colour in zip(curves.items(), _colours(len(curves))):
        if column not in table:
            raise ValueError(f"{name} has no curve {column!r}; it has {', '.join(table.columns)}")
        thresholds, shares = table[f"threshold_{unit}"], table[column]
        steps = thresholds.diff().iloc[1:]
        means = (shares.iloc[1:].to_numpy() + shares.iloc[:-1].to_numpy()) / 2
        area = float((steps * means).sum() / (thresholds.iloc[-1] - thresholds.iloc[0]))
        axes.plot(thresholds, shares, color=colour, linewidth=2, label=f"{name}  (AUC {area:.3f})")
    axes.set(xlabel=f"error threshold, {unit}", ylabel="share of points within it")
    axes.set(xlim=(0, float(thresholds.iloc[-1])), ylim=(0, 1))
    axes.set_title(title or column.replace("_", " "))
    axes.legend(frameon=False, loc="lower right")
    plain_axes(axes)
    return figure


def draw_curves(**histories: pd.DataFrame) -> Image.Image:
    """The training curves of one run, whose name is the title, or of several, as a node draws them.

    Args:
        histories: `training_curves`'s table of each run by its name.
    """
    title = next(iter(histories)) if len(histories) == 1 else "Training"
    return to_image(training_curves(histories, title))


def training_curves(
    history: pd.DataFrame | Mapping[str, pd.DataFrame], title: str = "Training"
) -> Figure:
    """Every loss term and monitor over the steps, a panel each.

    Args:
        history: the table a training run leaves (a `step` column, then `loss.*`, `monitor.*`,
            `learning_rate`), or several by the name of the run.
        title: above the panels.

    Raises:
        ValueError: there is nothing to draw.
    """
    runs = {"": history} if isinstance(history, pd.DataFrame) else dict(history)
    names = _panel_names(runs)
    if not names:
        raise ValueError("expected a history with loss.* columns, got none; was nothing logged?")
    columns = min(_PANELS_A_ROW, len(names))
    rows = math.ceil(len(names) / columns)
    figure = Figure(figsize=(3.4 * columns, 2.5 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, names):
        for (run, table), colour in zip(runs.items(), _colours(len(runs))):
            if name in table:
                seen = table[["step", name]].dropna()
                marker = "." if len(seen) < 3 else ""
                axes.plot(seen["step"], seen[name], marker=marker, color=colour, label=run)
        axes.set_title(name.replace("_", " "), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        plain_axes(axes)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    if len(runs) > 1:
        panels[0].legend(frameon=False, fontsize=9)
    figure.suptitle(title)
    return figure


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


def _panel_names(runs: Mapping[str, pd.DataFrame]) -> list[str]:
    """The total loss, then validation, the loss terms, and what shows the run's health."""
    found = dict.fromkeys(column for table in runs.values() for column in table.columns)
    groups = ("loss.total", "validation.", "loss.", "monitor.", "learning_rate")
    ordered = [name for group in groups for name in found if name.startswith(group)]
    return list(dict.fromkeys(ordered))


def _colours(count: int) -> list[str]:
    if count == 1:
        return [COLOURS[2]]
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


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
