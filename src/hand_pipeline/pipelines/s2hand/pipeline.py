"""The `s2hand` pipeline."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.s2hand.keypoints_2d import score_keypoints_2d
from hand_pipeline.pipelines.s2hand.nodes import (
    train_2d,
    train_3d,
    train_full,
    train_joint,
    train_weak,
)
from hand_pipeline.pipelines.s2hand.page import PAGE
from hand_pipeline.pipelines.s2hand.scoring import (
    draw_textured,
    predict_self_supervised,
    predict_supervised,
    score,
    score_self_supervised,
)
from hand_pipeline.viz.curves import draw_curves

_STAGES: dict[str, tuple[Callable[..., Any], list[str], str, str]] = {
    "s2hand_2d": (train_2d, [], "s2hand_2d", "2D branch"),
    "s2hand_3d": (train_3d, [], "s2hand_3d", "geometry"),
    "s2hand": (
        train_joint,
        ["s2hand_2d_method", "s2hand_3d_method"],
        "s2hand_joint",
        "together",
    ),
    "s2hand_weak": (train_weak, [], "s2hand_labelled", "geometry, true 2D"),
    "s2hand_full": (train_full, [], "s2hand_labelled", "geometry, true 3D"),
}
"""What trains each model, what it starts from, its parameters, and its name in the curves."""
_SETTINGS = ["params:s2hand_evaluation", "params:machine"]


def create_pipeline() -> Pipeline:
    """Labelled hands and what a detector saw in them in; models, scores, pictures, a page out."""
    training = [
        Node(
            function,
            [
                "labelled_hands",
                "hand_keypoints",
                *start,
                "params:s2hand",
                f"params:{stage}",
                "params:machine",
            ],
            [f"{name}_method", f"{name}_metrics", f"{name}_history"],
            name=f"train_{name}",
        )
        for name, (function, start, stage, _) in _STAGES.items()
    ]
    return Pipeline([*training, *_scoring(), *_showing()])


def _scoring() -> list[Node]:
    return [
        Node(
            predict_self_supervised,
            ["labelled_hands", "s2hand_3d_method", "s2hand_method", *_SETTINGS],
            "s2hand_predicted_hands",
            name="predict_s2hand",
        ),
        Node(
            predict_supervised,
            ["labelled_hands", "s2hand_weak_method", "s2hand_full_method", *_SETTINGS],
            "s2hand_supervised_predicted_hands",
            name="predict_s2hand_supervised",
        ),
        Node(
            score_self_supervised,
            ["s2hand_predicted_hands", "params:s2hand_evaluation"],
            "s2hand_self_metrics",
            name="score_s2hand_self",
        ),
        Node(
            score,
            [
                "s2hand_predicted_hands",
                "s2hand_supervised_predicted_hands",
                "params:s2hand_evaluation",
            ],
            ["s2hand_scores_metrics", "s2hand_table", "s2hand_samples_table", "s2hand_auc_curves"],
            name="score_s2hand",
        ),
        Node(
            score_keypoints_2d,
            ["labelled_hands", "hand_keypoints", "s2hand_method", *_SETTINGS],
            ["s2hand_keypoints_metrics", "s2hand_keypoints_table", "s2hand_keypoints_curves"],
            name="score_s2hand_keypoints",
        ),
    ]


def _showing() -> list[Node]:
    return [
        Node(
            draw_curves,
            {title: f"{name}_history" for name, (*_, title) in _STAGES.items()},
            "s2hand_curves",
            name="draw_s2hand_curves",
        ),
        Node(
            draw_textured,
            ["labelled_hands", "s2hand_method", *_SETTINGS],
            "s2hand_textured_picture",
            name="draw_textured_hands",
        ),
        Node(PAGE.render, PAGE.inputs, "s2hand_page", name="write_s2hand_page"),
    ]
