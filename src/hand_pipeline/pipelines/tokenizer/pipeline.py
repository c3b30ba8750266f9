"""The `tokenizer` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.tokenizer.nodes import (
    draw_curves,
    evaluate_tokenizer,
    train_tokenizer,
)


def create_pipeline() -> Pipeline:
    """Labelled hands in, a tokenizer of hand poses and its scores out."""
    return Pipeline(
        [
            Node(
                train_tokenizer,
                [
                    "labelled_hands",
                    "params:tokenizer.poses",
                    "params:tokenizer.vq_mano",
                    "params:tokenizer.training",
                    "params:machine",
                ],
                ["tokenizer_method", "tokenizer_metrics", "tokenizer_history"],
                name="train_tokenizer",
            ),
            Node(
                draw_curves, "tokenizer_history", "tokenizer_curves", name="draw_tokenizer_curves"
            ),
            Node(
                evaluate_tokenizer,
                [
                    "labelled_hands",
                    "tokenizer_method",
                    "params:tokenizer.evaluation",
                    "params:machine",
                ],
                ["tokenizer_scores_metrics", "tokenizer_hands_picture", "tokenizer_codes_picture"],
                name="evaluate_tokenizer",
            ),
        ]
    )
