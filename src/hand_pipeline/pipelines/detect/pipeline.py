"""The `detect` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.detect.nodes import detect_hands


def create_pipeline() -> Pipeline:
    """Labelled hands in, their 2D joints as a detector sees them out."""
    return Pipeline(
        [
            Node(
                detect_hands,
                ["labelled_hands", "params:detect", "params:machine"],
                ["hand_keypoints", "detect_metrics", "keypoints_picture"],
                name="detect_hands",
            )
        ]
    )
