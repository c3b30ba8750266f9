"""The page that shows a MaskHand run."""

from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.viz.report import OPEN_HAND_NOTICE, render_report

_READING = (
    "Confidence is the geometric mean of the probabilities that the network gave the tokens of a"
    " hand (or codes like them, see the setting confidence), and for a joint those of the tokens"
    " between it and the wrist. The paper prints"
    " percentages without their formula and no figure of what they are worth; those here are"
    " measured, not tuned."
)


def write_page(
    results: pd.DataFrame,
    confidence: pd.DataFrame,
    keypoints: pd.DataFrame,
    occlusion: pd.DataFrame,
    sampling: dict[str, Any],
    hypotheses: Image.Image,
    calibration: Image.Image,
    occluded: Image.Image,
    training: Image.Image,
    settings: dict[str, Any],
) -> str:
    """One page with everything that a MaskHand run has to show."""
    counts = sampling["mask_counts"]
    schedule = pd.DataFrame([{"": "masked tokens", **counts}])
    checks = pd.DataFrame(
        [{"check": k.replace("_", " "), "value": v} for k, v in sampling.items() if v is not counts]
    )
    pictures = {
        "Held-out hands and the surest of their drawn hypotheses, ranked": hypotheses,
        "What confidence is worth: hands above, joints below": calibration,
        "Mostly black hands, predictions drawn over the whole photo": occluded,
        "Training": training,
    }
    tables = {
        "Confidence": _readable(confidence),
        "2D keypoints: true, detected, none": _readable(keypoints),
        "Robustness: part of the hand's box is black": _readable(occlusion),
        "Sampling schedule": _readable(schedule),
        "Checks of the sampler": checks,
    }
    return render_report(
        "MaskHand: several hands of one photo",
        results.set_index("model"),
        pictures,
        {"maskhand": settings},
        tables,
        notes=(OPEN_HAND_NOTICE, _READING),
    )


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Names without underscores, and nothing where there is no figure."""
    named = table.rename(columns=lambda name: str(name).replace("_", " "))
    return named.astype(object).where(named.notna(), "")
