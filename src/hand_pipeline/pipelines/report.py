"""One HTML page of the whole run."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.viz.report import render_report


def write_report(
    results: pd.DataFrame,
    collected: pd.DataFrame,
    exported: dict[str, Any],
    pretraining: Image.Image,
    finetuning: Image.Image,
    auc: Image.Image,
    hands: Image.Image,
    crops: Image.Image,
    synthetic: Image.Image,
    synthesize: dict[str, Any],
    collect: dict[str, Any],
    backbone: dict[str, Any],
    pretrain: dict[str, Any],
    finetune: dict[str, Any],
) -> str:
    """One page with everything a run has to show."""
    pictures = {
        "Held-out hands: photo, predicted mesh, side view, truth": hands,
        "Share of vertices within a distance, after alignment": auc,
        "Pretraining: losses and signs of collapse": pretraining,
        "Fine-tuning: both runs": finetuning,
        "Crops the pretraining saw, with the detector's landmarks": crops,
        "Labelled synthetic hands": synthetic,
    }
    settings = {
        "synthesize": synthesize,
        "collect": collect,
        "backbone": backbone,
        "pretrain": pretrain,
        "finetune": finetune,
    }
    return render_report(
        "hand_pipeline: from photos to scored hands",
        results.set_index("model"),
        pictures,
        settings,
        {"Photos": collected, "Submission": pd.DataFrame.from_dict(exported, orient="index")},
    )


def create_pipeline() -> Pipeline:
    """Tables and pictures of the other stages in, one HTML page out."""
    return Pipeline(
        [
            Node(
                write_report,
                [
                    "results_table",
                    "collect_table",
                    "export_metrics",
                    "pretrain_curves",
                    "finetune_curves",
                    "auc_curves",
                    "hands_picture",
                    "crops_picture",
                    "synthetic_picture",
                    "params:synthesize",
                    "params:collect",
                    "params:backbone",
                    "params:pretrain",
                    "params:finetune",
                ],
                "report_page",
                name="write_report",
            )
        ]
    )
