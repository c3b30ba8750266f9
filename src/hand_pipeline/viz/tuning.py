"""A study as a picture: its trials in order, and what the parameters explain."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from hand_pipeline.viz.curves import COLOURS
from hand_pipeline.viz.figure import plain_axes


def study_picture(
    trials: pd.DataFrame, importances: Mapping[str, float], title: str, minimize: bool = True
) -> Figure:
    """Left each trial's objective and the best so far, right the importance of each parameter.

    Args:
        trials: `trial`, `state` and `objective` of each; states other than complete are ticks at
            the foot.
        importances: shares of the variance by parameter; empty leaves a word in their place.
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
