"""Tables as figures: the members of a sweep, the trials of a study, linear probes."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hand_pipeline.viz.figure import COLOURS, plain_axes

_PANELS_A_ROW = 3
_PROBES = {
    "classes": ("accuracy", "chance", "accuracy", "commonest class"),
    "tips": ("error", "mean place", "distance, % of the crop", "always the mean place"),
}
"""By kind of set: column, column of the baseline, label of the axis, name of the baseline."""


def sweep_figure(
    table: pd.DataFrame,
    columns: Sequence[str],
    title: str,
    places: Mapping[str, tuple[str, float]] | None = None,
    x_label: str = "",
    log_x: bool = False,
    trade_offs: Sequence[tuple[str, str]] = (),
) -> Figure:
    """A panel a column, then one a trade-off: mean over seeds, with one standard deviation.

    Args:
        table: a row a member: `member`, each column and `COLUMN std` (NaN for one seed). Members
            without a value (all seeds failed) are left out of lines and named below bars.
        columns: which to draw.
        title: above the panels.
        places: line and x value by member; members without one are dashed horizontal lines.
            None: bars.
        x_label: of the axis of places.
        log_x: draw that axis in powers of two.
        trade_offs: pairs of columns: a member's cost (x axis) and its gain (y axis).

    Raises:
        ValueError: no columns, or one that the table lacks.
    """
    named = [*columns, *(column for pair in trade_offs for column in pair)]
    if not columns or not set(named) <= set(table.columns):
        raise ValueError(f"expected some of {', '.join(table.columns)}, got {named}")
    count = len(columns) + len(trade_offs)
    wide = min(_PANELS_A_ROW, count)
    rows = math.ceil(count / wide)
    width = 4.4 if places else max(4.0, 1.5 + 0.55 * len(table))
    figure = Figure(figsize=(width * wide, 3.6 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, wide, squeeze=False).ravel()
    for axes, column in zip(panels, columns):
        if places:
            _lines(axes, table, column, places)
            axes.set_xlabel(x_label)
            if log_x:
                axes.set_xscale("log", base=2)
                stops = sorted({x for _, x in places.values()})
                axes.set_xticks(stops, [f"{x:g}" for x in stops])  # not 2 to the power of 7
        else:
            _bars(axes, table, column)
        axes.set_title(column, fontsize=10)
        plain_axes(axes)
    for axes, (cost, gain) in zip(panels[len(columns) :], trade_offs):
        _trade_off(axes, table, cost, gain, places or {})
        axes.set_title(f"{gain} by {cost}", fontsize=10)
        plain_axes(axes)
    for axes in panels[count:]:
        axes.set_axis_off()
    figure.suptitle(title)
    return figure


def study_figure(
    trials: pd.DataFrame, importances: Mapping[str, float], title: str, minimize: bool = True
) -> Figure:
    """Left each trial's objective and the best so far, right the importance of each parameter.

    Args:
        trials: `trial`, `state` and `objective` of each; states other than complete are ticks at
            the foot.
        importances: shares of the variance by parameter; if empty, a note says so.
        title: above both.
        minimize: whether the best is the least.

    Raises:
        ValueError: no trial is complete.
    """
    complete = trials[trials["state"] == "complete"]
    if complete.empty:
        raise ValueError("expected at least one complete trial, got none")
    height = max(3.6, 0.4 * len(importances) + 1.5)
    figure = Figure(figsize=(9.6, height), layout="constrained")
    history, bars = figure.subplots(1, 2)
    values = complete["objective"].to_numpy(dtype=float)
    so_far = np.minimum.accumulate(values) if minimize else np.maximum.accumulate(values)
    history.plot(complete["trial"], values, "o", color=COLOURS[2], label="complete")
    history.step(complete["trial"], so_far, where="post", color=COLOURS[1], label="best so far")
    for state, colour in (("pruned", COLOURS[0]), ("fail", COLOURS[5])):
        others = trials[trials["state"] == state]["trial"]
        if len(others):
            foot = history.get_xaxis_transform()
            history.plot(
                others, np.zeros(len(others)), "|", color=colour, markersize=12, label=state,
                transform=foot, clip_on=False,
            )  # fmt: skip
    history.set(xlabel="trial", ylabel="objective")
    history.legend(frameon=False, fontsize=8)
    plain_axes(history)
    names = list(reversed(list(importances)))
    bars.barh(names, [importances[name] for name in names], color=COLOURS[2])
    bars.set_xlabel("share of the objective's variance")
    if not names:
        bars.text(0.5, 0.5, "too few trials to tell", ha="center", transform=bars.transAxes)
        bars.set_yticks([])
    plain_axes(bars)
    figure.suptitle(title)
    return figure


def probe_bars(table: pd.DataFrame, sets: Mapping[str, str]) -> Figure:
    """A panel a set: a bar a backbone, one standard deviation over the folds up and down.

    Args:
        table: a row a backbone: `features`, and for each set `SET accuracy`, `SET accuracy std`
            and `SET chance`, or `SET error`, `SET error std` and `SET mean place`.
        sets: `classes` or `tips` by name.

    Raises:
        ValueError: no rows, or a set that the table lacks.
    """
    if table.empty or not sets:
        raise ValueError("expected at least one backbone and one set to draw")
    figure = Figure(figsize=(3.8 * len(sets), 3.6), layout="constrained")
    places = np.arange(len(table))
    for axes, (name, kind) in zip(figure.subplots(1, len(sets), squeeze=False)[0], sets.items()):
        value, level, label, meaning = _PROBES[kind]
        if f"{name} {value}" not in table:
            raise ValueError(f"the table has no {name} {value}; it has {', '.join(table.columns)}")
        axes.bar(
            places, table[f"{name} {value}"], yerr=table[f"{name} {value} std"], capsize=3,
            color=[COLOURS[i % len(COLOURS)] for i in places],
        )  # fmt: skip
        axes.axhline(
            float(table[f"{name} {level}"].iloc[0]), linestyle="--", color="#444", label=meaning
        )
        axes.set_xticks(places, table["features"])
        axes.set_ylabel(label)
        axes.set_title(name.replace("_", " "))
        axes.legend(frameon=False, fontsize=8)
        plain_axes(axes)
    figure.suptitle("Linear probes of frozen features, photos of other people or takes held out")
    return figure


def no_probes(reason: str) -> Figure:
    """A figure that says why there is none."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, reason, ha="center", va="center")
    return figure


def _bars(axes: Axes, table: pd.DataFrame, column: str) -> None:
    places = np.arange(len(table))
    spread = table[f"{column} std"].fillna(0.0)
    colours = [COLOURS[i % len(COLOURS)] for i in places]
    bars = axes.bar(places, table[column].fillna(0.0), yerr=spread, capsize=3, color=colours)
    # bars start at 0, where differences of a few per cent are hard to see: hence the values
    axes.bar_label(bars, ["" if pd.isna(v) else f"{v:.3g}" for v in table[column]], fontsize=8)
    failed = table[column].isna()
    labels = [f"{name}\n(failed)" if bad else name for name, bad in zip(table["member"], failed)]
    axes.set_xticks(places, labels, rotation=30, ha="right", fontsize=8)


def _lines(
    axes: Axes, table: pd.DataFrame, column: str, places: Mapping[str, tuple[str, float]]
) -> None:
    found = table.dropna(subset=[column])
    placed = found[found["member"].isin(list(places))]
    groups = placed["member"].map(lambda name: places[name][0])
    for index, (group, rows) in enumerate(placed.groupby(groups, sort=False)):
        x = rows["member"].map(lambda name: places[name][1]).to_numpy(dtype=float)
        order = np.argsort(x)
        mean, spread = rows[column].to_numpy(), rows[f"{column} std"].fillna(0.0).to_numpy()
        colour = COLOURS[(index + 2) % len(COLOURS)]
        axes.errorbar(
            x[order], mean[order], yerr=spread[order], marker="o", capsize=3, color=colour,
            label=str(group) or None,
        )  # fmt: skip
    level = found[~found["member"].isin(list(places))]
    for index, (name, value) in enumerate(zip(level["member"], level[column])):
        axes.axhline(float(value), linestyle="--", color=COLOURS[index % 2], label=str(name))
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)


def _trade_off(
    axes: Axes,
    table: pd.DataFrame,
    cost: str,
    gain: str,
    places: Mapping[str, tuple[str, float]],
) -> None:
    """Members by both columns; those of one line of the other panels are joined here too."""
    found = table.dropna(subset=[cost, gain])
    groups = found["member"].map(lambda name: places[name][0] if name in places else name)
    for index, (group, rows) in enumerate(found.groupby(groups, sort=False)):
        rows = rows.sort_values(cost)
        colour = COLOURS[(index + 2) % len(COLOURS)]
        axes.errorbar(
            rows[cost], rows[gain], xerr=rows[f"{cost} std"].fillna(0.0),
            yerr=rows[f"{gain} std"].fillna(0.0), marker="o", capsize=3, color=colour,
            label=str(group) or None,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel(cost)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=8)
