"""The `photo_probes` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.photo_probes.nodes import draw_probes, score_probes


def create_pipeline() -> Pipeline:
    """A pretrained backbone and a folder of labelled photos in, a table and a picture out."""
    return Pipeline(
        [
            Node(
                score_probes,
                ["pretrained_backbone", "params:photo_probes", "params:machine"],
                ["photo_probes_metrics", "photo_probes_table"],
                name="score_photo_probes",
            ),
            Node(
                draw_probes,
                ["photo_probes_table", "params:photo_probes"],
                "photo_probes_picture",
                name="draw_photo_probes",
            ),
        ]
    )
