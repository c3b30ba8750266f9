"""What probes tell on real photos, as bars."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hand_pipeline.viz.curves import COLOURS
from hand_pipeline.viz.figure import plain_axes

_KINDS = {
    "classes": ("accuracy", "chance", "share told right", "commonest class"),
    "tips": ("error", "mean place", "distance, % of the crop", "always the mean place"),
}


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
        value, level, label, meaning = _KINDS[kind]
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
    """A picture that says why there is none."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, reason, ha="center", va="center")
    return figure
