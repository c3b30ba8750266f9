"""The page that shows a MaskHand run."""

from typing import Any

import pandas as pd

from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, From, RunPage

_READING = (
    "Confidence is the geometric mean of the probabilities that the network gave the tokens of a"
    " hand (or codes like them, see the setting confidence), and for a joint those of the tokens"
    " between it and the wrist. The paper prints percentages without their formula, and does not"
    " say how well they predict the error; here that is measured, and nothing is tuned to it."
)


def _schedule(sampling: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{"": "masked tokens", **sampling["mask_counts"]}])


def _checks(sampling: dict[str, Any]) -> pd.DataFrame:
    checks = {name: value for name, value in sampling.items() if name != "mask_counts"}
    return pd.DataFrame(
        [{"check": name.replace("_", " "), "value": value} for name, value in checks.items()]
    )


PAGE = RunPage(
    title="MaskHand: several hands of one photo",
    results="maskhand_table",
    figures={
        "Held-out hands and their most confident sampled hypotheses, ranked": (
            "maskhand_hypotheses_picture"
        ),
        "What confidence is worth: hands above, joints below": "maskhand_calibration_picture",
        "Mostly black hands, predictions drawn over the whole photo": "occlusion_picture",
        "Training": "maskhand_curves",
    },
    tables={
        "Confidence": "maskhand_confidence_table",
        "2D keypoints: true, detected, none": "keypoints_study_table",
        "Robustness: part of the hand's box is black": "occlusion_table",
        "Sampling schedule": From("maskhand_sampling_metrics", _schedule),
        "Checks of the sampler": From("maskhand_sampling_metrics", _checks),
    },
    settings=("params:maskhand",),
    notes=(OPEN_HAND_NOTICE, _READING),
)
