"""The `export` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.export.nodes import export_submissions


def create_pipeline() -> Pipeline:
    """One model and evaluation photos in, submission files out.

    The model is HandMIM's: an input of a Kedro pipeline cannot be a parameter's choice, and to ask
    for all models would be to train all. Others go in by `export.checkpoint`.
    """
    return Pipeline(
        [
            Node(
                export_submissions,
                ["labelled_hands", "handmim_method", "params:export", "params:machine"],
                ["submission", "export_metrics"],
                name="export_submissions",
            )
        ]
    )
