"""The `synthesize` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.synthesize.nodes import synthesize_hands


def create_pipeline() -> Pipeline:
    """Labelled synthetic hands in FreiHAND's layout."""
    return Pipeline(
        [
            Node(
                synthesize_hands,
                ["params:synthesize", "params:machine"],
                ["labelled_hands", "synthesize_metrics", "synthetic_picture"],
                name="synthesize_hands",
            )
        ]
    )
