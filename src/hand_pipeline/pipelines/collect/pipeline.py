"""The `collect` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.collect.nodes import collect_hands, gather_photos


def create_pipeline() -> Pipeline:
    """Photos in, shards of crops out."""
    return Pipeline(
        [
            Node(
                gather_photos,
                ["photos", "params:collect_sources", "params:synthetic_photos", "params:machine"],
                "photos_to_search",
                name="gather_photos",
            ),
            Node(
                collect_hands,
                ["photos_to_search", "params:collect", "params:machine"],
                [
                    "hand_crops",
                    "collect_table",
                    "quarantine_table",
                    "collect_metrics",
                    "crops_picture",
                ],
                name="collect_hands",
            ),
        ]
    )
