"""The `pretrain` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.pretrain.nodes import draw_curves, pretrain


def create_pipeline() -> Pipeline:
    """Crops in, backbone out."""
    return Pipeline(
        [
            Node(
                pretrain,
                [
                    "hand_crops",
                    "params:pretrain.unlabelled",
                    "params:backbone",
                    "params:pretrain.views",
                    "params:pretrain.method",
                    "params:pretrain.handmim",
                    "params:pretrain.ibot",
                    "params:pretrain.peclr",
                    "params:pretrain.training",
                    "params:machine",
                ],
                [
                    "pretrained_method",
                    "pretrained_backbone",
                    "pretrain_metrics",
                    "pretrain_history",
                ],
                name="pretrain_backbone",
            ),
            Node(
                draw_curves,
                ["pretrain_history", "params:pretrain.method"],
                "pretrain_curves",
                name="draw_pretrain_curves",
            ),
        ]
    )
