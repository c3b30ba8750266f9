"""The `tuning` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.tuning.nodes import tune_parameters
from hand_pipeline.sweeps.project import PROJECT


def create_pipeline() -> Pipeline:
    """A declared space in; the trials, the best as a run's configuration, and pictures out."""
    return Pipeline(
        [
            Node(
                tune_parameters,
                [PROJECT, "params:tuning", "params:machine"],
                ["tuning_metrics", "tuning_table", "tuning_best_run", "tuning_picture"],
                name="tune_parameters",
            )
        ]
    )
