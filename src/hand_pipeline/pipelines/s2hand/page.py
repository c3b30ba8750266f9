"""The page that shows an S2HAND run."""

from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.viz.report import OPEN_HAND_NOTICE, render_report

_READING = (
    "Self-supervised models saw photos and the joints that a detector found in them, never a label."
    " Weakly supervised ones saw true 2D joints, fully supervised ones true 3D joints as well; both"
    " learnt geometry alone. The mean hand looks at no photo."
)
_AUC = (
    "AUC of 2D joints: area under the share of joints within 0 to 49 px of the true ones, in a 224"
    " px image. A joint that the detector did not find is within no distance."
)


def write_page(
    results: pd.DataFrame,
    keypoints: pd.DataFrame,
    textured: Image.Image,
    auc: Image.Image,
    keypoint_curves: Image.Image,
    training: Image.Image,
    networks: dict[str, Any],
    stage_2d: dict[str, Any],
    stage_3d: dict[str, Any],
    stage_joint: dict[str, Any],
    labelled: dict[str, Any],
) -> str:
    """One page with everything that an S2HAND run has to show."""
    settings = {
        "s2hand": networks, "s2hand_2d": stage_2d, "s2hand_3d": stage_3d,
        "s2hand_joint": stage_joint, "s2hand_labelled": labelled,
    }  # fmt: skip
    pictures = {
        "Held-out hands: the photo, the hand over it, from the side, and its texture without light"
        "": textured,
        "Share of aligned vertices within a distance": auc,
        "2D joints: detected, estimated, projected": keypoint_curves,
        "Training, stage by stage": training,
    }
    readable = keypoints.rename(columns=lambda name: str(name).replace("_", " "))
    return render_report(
        "S2HAND: textured hands without labels",
        results.set_index("model"),
        pictures,
        settings,
        {"2D joints": readable},
        notes=(OPEN_HAND_NOTICE, _READING, _AUC),
    )
