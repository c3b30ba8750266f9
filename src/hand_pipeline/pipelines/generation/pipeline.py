"""The `generation` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.generation.nodes import (
    score_text,
    score_unconditional,
    train_text_model,
)
from hand_pipeline.pipelines.generation.pseudo_labels import make_letter_poses
from hand_pipeline.viz.curves import draw_curves


def create_pipeline() -> Pipeline:
    """Poses of letters, a tokenizer and MaskHand in; a text model and scores of hands out."""
    return Pipeline(
        [
            Node(
                make_letter_poses,
                ["maskhand_method", "params:generation", "params:machine"],
                ["letter_poses", "letters_picture"],
                name="make_letter_poses",
            ),
            Node(
                train_text_model,
                ["letter_poses", "tokenizer_method", "params:generation", "params:machine"],
                ["maskhand_text_method", "maskhand_text_metrics", "maskhand_text_history"],
                name="train_text_model",
            ),
            Node(
                draw_curves,
                {"MaskHand from text: masked tokens": "maskhand_text_history"},
                "maskhand_text_curves",
                name="draw_maskhand_text_curves",
            ),
            Node(
                score_text,
                [
                    "letter_poses",
                    "maskhand_text_method",
                    "params:generation",
                    "params:generation_evaluation",
                    "params:machine",
                ],
                ["text_metrics", "text_table", "text_picture"],
                name="score_text",
            ),
            Node(
                score_unconditional,
                [
                    "labelled_hands",
                    "maskhand_method",
                    "params:generation_evaluation",
                    "params:machine",
                ],
                ["generation_metrics", "generation_table", "generation_picture"],
                name="score_unconditional",
            ),
        ]
    )
