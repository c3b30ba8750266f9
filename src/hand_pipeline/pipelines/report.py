"""One HTML page of the whole run."""

import pandas as pd
from kedro.pipeline import Node, Pipeline

from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, From, RunPage

AFTER_MINUTES = (
    "Two rows are this run's own models: in the base profile they learn for minutes, from a few"
    " thousand rendered hands. What is shipped needs no training; mediapipe and lifter place the"
    " hand by MediaPipe's landmarks, which were found in {found:.0%} of the held-out hands."
)

PAGE = RunPage(
    title="hand_pipeline: from photos to scored hands",
    results="shipped_table",
    notes=(OPEN_HAND_NOTICE, From("shipped_metrics", lambda found: AFTER_MINUTES.format(**found))),
    figures={
        "Real photos: models trained here and shipped; right hands blue": "shipped_photos_picture",
        "Held-out hands: photo, predicted mesh, side view, truth": "hands_picture",
        "The worst held-out hands: photo, predicted mesh, side view, truth": "worst_hands_picture",
        "What pretraining rebuilds: photo, view, hidden patches, rebuilt": "rebuilt_picture",
        "Pseudo key points of two views, aligned in the photo": "key_points_picture",
        "Share of vertices within a distance, after alignment": "auc_curves",
        "Pretraining: losses and signs of collapse": "pretrain_curves",
        "Fine-tuning: both runs": "finetune_curves",
        "Crops the pretraining saw, with the detector's landmarks": "crops_picture",
        "Labelled synthetic hands": "synthetic_picture",
    },
    tables={
        "What pretraining taught: joints by a probe of its frozen features, % of the crop": From(
            "frozen_probe_metrics", lambda found: pd.DataFrame([found])
        ),
        "Photos": "collect_table",
        "Submission": From(
            "export_metrics", lambda exported: pd.DataFrame.from_dict(exported, orient="index")
        ),
    },
    settings=(
        "params:synthesize",
        "params:collect",
        "params:backbone",
        "params:pretrain",
        "params:finetune",
    ),
)


def create_pipeline() -> Pipeline:
    """Tables and figures of the other stages in, one HTML page out."""
    return Pipeline([Node(PAGE.render, PAGE.inputs, "report_page", name="write_report")])
