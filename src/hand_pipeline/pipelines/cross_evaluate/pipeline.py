"""The `cross_evaluate` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.cross_evaluate.nodes import (
    draw_other_hands,
    predict_other_hands,
    score_other_hands,
)


def create_pipeline() -> Pipeline:
    """Models of one set in, their figures on another out."""
    return Pipeline(
        [
            Node(
                draw_other_hands,
                ["params:cross_evaluate.synthesize", "params:machine"],
                ["other_hands", "other_hands_picture"],
                name="draw_other_hands",
            ),
            Node(
                predict_other_hands,
                [
                    "labelled_hands",
                    "other_hands",
                    "supervised_method",
                    "handmim_method",
                    "params:cross_evaluate.evaluation",
                    "params:machine",
                ],
                "other_predicted_hands",
                name="predict_other_hands",
            ),
            Node(
                score_other_hands,
                ["other_predicted_hands", "params:cross_evaluate.evaluation"],
                [
                    "cross_evaluate_metrics",
                    "cross_evaluate_table",
                    "cross_samples_table",
                    "cross_auc_curves",
                ],
                name="score_other_hands",
            ),
        ]
    )
