"""The `pretrain` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.pretrain.nodes import draw_curves, pretrain_handmim


def create_pipeline() -> Pipeline:
    """Crops in, backbone out."""
    return Pipeline(
        [
            Node(
                pretrain_handmim,
                [
                    "hand_crops",
                    "params:backbone",
                    "params:pretrain.views",
                    "params:pretrain.handmim",
                    "params:pretrain.training",
                    "params:machine",
                ],
                [
                    "pretrained_method",
                    "pretrained_backbone",
                    "pretrain_metrics",
                    "pretrain_history",
                ],
                name="pretrain_handmim",
            ),
            Node(draw_curves, "pretrain_history", "pretrain_curves", name="draw_pretrain_curves"),
        ]
    )
