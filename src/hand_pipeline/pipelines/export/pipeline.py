"""The `export` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.export.nodes import export_submissions


def create_pipeline() -> Pipeline:
    """Models and evaluation photos in, submission files out."""
    return Pipeline(
        [
            Node(
                export_submissions,
                [
                    "labelled_hands",
                    "supervised_method",
                    "handmim_method",
                    "params:export",
                    "params:machine",
                ],
                ["submission", "export_metrics"],
                name="export_submissions",
            )
        ]
    )
