"""The `maskhand` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.maskhand.evaluation import create_evaluation_pipeline
from hand_pipeline.pipelines.maskhand.nodes import train_maskhand
from hand_pipeline.viz.curves import draw_curves


def create_pipeline() -> Pipeline:
    """Labelled hands, keypoints, a tokenizer and a fine-tuned ViT in; MaskHand and scores out."""
    training = Pipeline(
        [
            Node(
                train_maskhand,
                [
                    "labelled_hands",
                    "hand_keypoints",
                    "tokenizer_method",
                    "handmim_method",
                    "params:maskhand",
                    "params:backbone",
                    "params:machine",
                ],
                ["maskhand_method", "maskhand_metrics", "maskhand_history"],
                name="train_maskhand",
            ),
            Node(
                draw_curves,
                {"MaskHand: masked tokens of hand poses": "maskhand_history"},
                "maskhand_curves",
                name="draw_maskhand_curves",
            ),
        ]
    )
    return training + create_evaluation_pipeline()
