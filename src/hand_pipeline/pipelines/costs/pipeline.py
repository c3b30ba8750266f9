"""The `costs` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.costs.nodes import inference_cost, pretraining_cost


def create_pipeline() -> Pipeline:
    """A pretraining's records and a fine-tuned model in, figures of cost out."""
    return Pipeline(
        [
            Node(
                pretraining_cost,
                ["pretrain_history", "pretrained_backbone", "params:pretrain.training"],
                "pretraining_cost_metrics",
                name="pretraining_cost",
            ),
            Node(
                inference_cost,
                ["handmim_method", "params:costs", "params:machine"],
                "inference_cost_metrics",
                name="inference_cost",
            ),
        ]
    )
