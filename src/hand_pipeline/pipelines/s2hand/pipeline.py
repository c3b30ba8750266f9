"""The `s2hand` pipeline."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.s2hand.nodes import (
    draw_curves,
    train_2d,
    train_3d,
    train_full,
    train_joint,
    train_weak,
)
from hand_pipeline.pipelines.s2hand.scoring import draw_textured, predict_held_out, score

_HANDS = [
    "labelled_hands",
    "hand_keypoints",
    "params:s2hand.encoder",
    "params:s2hand.labels",
    "params:s2hand.mix",
    "params:s2hand.augmentation",
    "params:s2hand.method",
]
_STAGES: dict[str, tuple[Callable[..., Any], list[str], str]] = {
    "s2hand_2d": (train_2d, [], "stage_2d"),
    "s2hand_3d": (train_3d, [], "stage_3d"),
    "s2hand": (train_joint, ["s2hand_2d_method", "s2hand_3d_method"], "stage_joint"),
    "s2hand_weak": (train_weak, [], "labelled"),
    "s2hand_full": (train_full, [], "labelled"),
}
_SETTINGS = ["params:s2hand.evaluation", "params:machine"]


def create_pipeline() -> Pipeline:
    """Labelled hands and what a detector saw in them in; models, scores and pictures out."""
    training = [
        Node(
            function,
            [*start, *_HANDS, f"params:s2hand.{settings}", "params:machine"],
            [f"{name}_method", f"{name}_metrics", f"{name}_history"],
            name=f"train_{name}",
        )
        for name, (function, start, settings) in _STAGES.items()
    ]
    scoring = [
        Node(
            draw_curves,
            [f"{name}_history" for name in _STAGES],
            "s2hand_curves",
            name="draw_s2hand_curves",
        ),
        Node(
            predict_held_out,
            [
                "labelled_hands",
                "s2hand_3d_method",
                "s2hand_method",
                "s2hand_weak_method",
                "s2hand_full_method",
                *_SETTINGS,
            ],
            "s2hand_predicted_hands",
            name="predict_s2hand",
        ),
        Node(
            score,
            ["s2hand_predicted_hands", "params:s2hand.evaluation"],
            ["s2hand_scores_metrics", "s2hand_table", "s2hand_samples_table", "s2hand_auc_curves"],
            name="score_s2hand",
        ),
        Node(
            draw_textured,
            ["labelled_hands", "s2hand_method", *_SETTINGS],
            "s2hand_textured_picture",
            name="draw_textured_hands",
        ),
    ]
    return Pipeline([*training, *scoring])
