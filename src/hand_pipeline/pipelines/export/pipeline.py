"""The `export` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.export.nodes import export_submission


def create_pipeline() -> Pipeline:
    """Predictions in, submission files out."""
    return Pipeline(
        [
            Node(
                export_submission,
                ["predicted_hands", "params:export", "params:machine"],
                ["submission", "export_metrics"],
                name="export_submission",
            )
        ]
    )
