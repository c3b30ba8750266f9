"""One HTML page of the whole run."""

import pandas as pd
from kedro.pipeline import Node, Pipeline

from hand_pipeline.viz.run_page import From, RunPage

PAGE = RunPage(
    title="hand_pipeline: from photos to scored hands",
    results="results_table",
    figures={
        "Held-out hands: photo, predicted mesh, side view, truth": "hands_picture",
        "Share of vertices within a distance, after alignment": "auc_curves",
        "Pretraining: losses and signs of collapse": "pretrain_curves",
        "Fine-tuning: both runs": "finetune_curves",
        "Crops the pretraining saw, with the detector's landmarks": "crops_picture",
        "Labelled synthetic hands": "synthetic_picture",
    },
    tables={
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
