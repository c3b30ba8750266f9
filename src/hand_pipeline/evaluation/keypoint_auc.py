"""2D joints by the share within a distance, as S2HAND compares its sources of them (table 10)."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hand_pipeline.evaluation.curves import ErrorTally

THRESHOLDS_PX = np.arange(50.0)
"""S2HAND's: 0 to 49 px of a 224 px image."""


class JointsFound(NamedTuple):
    """How near the true 2D joints some source came.

    Attributes:
        figures: `auc_2d` (0 to 1), `found` (share of the joints it gave at all) and, in px of those
            it gave, `error_mean_px` and `error_median_px`; NaN where it gave none.
        curve: `threshold_px` and the share of `joints` within it.
    """

    figures: dict[str, Any]
    curve: pd.DataFrame


def score_joints_2d(
    joints: Float[np.ndarray, "hands 21 2"],
    truth: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
    given: Bool[np.ndarray, "hands 21"] | None = None,
) -> JointsFound:
    """Shares of the labelled joints within 0, 1, ... 49 px, and the trapezoid area over 49.

    A joint that was not found is within no distance: a source that keeps silent gains nothing.

    Args:
        joints: px of a 224 px image.
        truth: px of the same image.
        labelled: which joints count.
        given: which joints the source found; None: all.

    Raises:
        ValueError: no joint is labelled.
    """
    there = np.ones_like(labelled) if given is None else given
    distance = np.where(there, np.linalg.norm(joints - truth, axis=-1), np.inf)[labelled]
    if not distance.size:
        raise ValueError("expected labelled 2D joints to compare with, got none")
    tally = ErrorTally(THRESHOLDS_PX)
    tally.add(distance[:, None])
    near = distance[np.isfinite(distance)]
    figures = {
        "auc_2d": tally.area,
        "found": near.size / distance.size,
        "error_mean_px": float(near.mean()) if near.size else float("nan"),
        "error_median_px": float(np.median(near)) if near.size else float("nan"),
    }
    curve = pd.DataFrame({"threshold_px": THRESHOLDS_PX, "joints": tally.shares})
    return JointsFound(figures, curve)
