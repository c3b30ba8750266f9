"""The `evaluate` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.evaluate.nodes import draw_hands, predict_held_out, score


def create_pipeline() -> Pipeline:
    """Held-out hands and models in, figures and pictures out."""
    return Pipeline(
        [
            Node(
                predict_held_out,
                [
                    "labelled_hands",
                    "supervised_method",
                    "handmim_method",
                    "params:evaluate",
                    "params:machine",
                ],
                "predicted_hands",
                name="predict_held_out",
            ),
            Node(
                score,
                ["predicted_hands", "params:evaluate"],
                ["evaluate_metrics", "results_table", "samples_table", "auc_curves"],
                name="score",
            ),
            Node(
                draw_hands,
                [
                    "labelled_hands",
                    "predicted_hands",
                    "handmim_method",
                    "samples_table",
                    "params:evaluate",
                ],
                "hands_picture",
                name="draw_hands",
            ),
        ]
    )
