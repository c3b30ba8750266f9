"""The `finetune` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.finetune.nodes import (
    draw_curves,
    finetune_pretrained,
    finetune_supervised,
)

COMMON = [
    "labelled_hands",
    "params:backbone",
    "params:finetune.labels",
    "params:finetune.mix",
    "params:finetune.augmentation",
    "params:finetune.pymaf",
    "params:finetune.training",
    "params:machine",
]


def create_pipeline() -> Pipeline:
    """Labelled hands and a backbone in, two models out."""
    return Pipeline(
        [
            Node(
                finetune_supervised,
                ["params:finetune.supervised", *COMMON],
                ["supervised_method", "finetune_supervised_metrics", "finetune_supervised_history"],
                name="finetune_supervised",
            ),
            Node(
                finetune_pretrained,
                ["pretrained_backbone", *COMMON],
                ["handmim_method", "finetune_handmim_metrics", "finetune_handmim_history"],
                name="finetune_handmim",
            ),
            Node(
                draw_curves,
                ["finetune_supervised_history", "finetune_handmim_history"],
                "finetune_curves",
                name="draw_finetune_curves",
            ),
        ]
    )
