"""The `s2hand` pipeline."""

from collections.abc import Callable
from typing import Any

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.s2hand.keypoints_2d import score_keypoints_2d
from hand_pipeline.pipelines.s2hand.nodes import (
    draw_curves,
    train_2d,
    train_3d,
    train_full,
    train_joint,
    train_weak,
)
from hand_pipeline.pipelines.s2hand.page import write_page
from hand_pipeline.pipelines.s2hand.scoring import (
    draw_textured,
    predict_self_supervised,
    predict_supervised,
    score,
    score_self_supervised,
)

_HANDS = [
    "labelled_hands",
    "hand_keypoints",
    "params:s2hand.encoder",
    "params:s2hand.labels",
    "params:s2hand.mix",
    "params:s2hand.augmentation",
    "params:s2hand.method",
]
_STAGES: dict[str, tuple[Callable[..., Any], list[str], list[str]]] = {
    "s2hand_2d": (train_2d, [], ["stage_2d"]),
    "s2hand_3d": (train_3d, [], ["stage_3d", "terms_3d"]),
    "s2hand": (
        train_joint,
        ["s2hand_2d_method", "s2hand_3d_method"],
        ["stage_joint", "terms_joint"],
    ),
    "s2hand_weak": (train_weak, [], ["labelled"]),
    "s2hand_full": (train_full, [], ["labelled"]),
}
_SHOWN = ("encoder", "augmentation", "method", "stage_2d", "stage_3d", "stage_joint", "labelled")
_SETTINGS = ["params:s2hand.evaluation", "params:machine"]


def create_pipeline() -> Pipeline:
    """Labelled hands and what a detector saw in them in; models, scores, pictures, a page out."""
    training = [
        Node(
            function,
            [*start, *_HANDS, *(f"params:s2hand.{name}" for name in settings), "params:machine"],
            [f"{name}_method", f"{name}_metrics", f"{name}_history"],
            name=f"train_{name}",
        )
        for name, (function, start, settings) in _STAGES.items()
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
            ["s2hand_predicted_hands", "params:s2hand.evaluation"],
            "s2hand_self_metrics",
            name="score_s2hand_self",
        ),
        Node(
            score,
            [
                "s2hand_predicted_hands",
                "s2hand_supervised_predicted_hands",
                "params:s2hand.evaluation",
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
            [f"{name}_history" for name in _STAGES],
            "s2hand_curves",
            name="draw_s2hand_curves",
        ),
        Node(
            draw_textured,
            ["labelled_hands", "s2hand_method", *_SETTINGS],
            "s2hand_textured_picture",
            name="draw_textured_hands",
        ),
        Node(
            write_page,
            [
                "s2hand_table",
                "s2hand_keypoints_table",
                "s2hand_textured_picture",
                "s2hand_auc_curves",
                "s2hand_keypoints_curves",
                "s2hand_curves",
                *(f"params:s2hand.{name}" for name in _SHOWN),
            ],
            "s2hand_page",
            name="write_s2hand_page",
        ),
    ]
