"""The `s2hand_photos` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.s2hand_photos.nodes import train_on_photos
from hand_pipeline.pipelines.s2hand_photos.page import PAGE
from hand_pipeline.pipelines.s2hand_photos.scoring import compare_on_photos, draw_photos
from hand_pipeline.viz.curves import draw_curves

_TRAINING = "params:s2hand_photos"
_SETTINGS = [_TRAINING, "params:s2hand_photos_evaluation", "params:machine"]


def create_pipeline() -> Pipeline:
    """Crops of photos and a trained S2HAND in; the same after learning on the photos out."""
    return Pipeline(
        [
            Node(
                train_on_photos,
                ["hand_crops", "s2hand_method", _TRAINING, "params:machine"],
                ["s2hand_photos_method", "s2hand_photos_metrics", "s2hand_photos_history"],
                name="train_s2hand_photos",
            ),
            Node(
                compare_on_photos,
                ["hand_crops", "s2hand_method", "s2hand_photos_method", *_SETTINGS],
                [
                    "s2hand_photos_scores_metrics",
                    "s2hand_photos_table",
                    "s2hand_photos_samples_table",
                ],
                name="compare_s2hand_photos",
            ),
            Node(
                draw_photos,
                [
                    "hand_crops",
                    "s2hand_photos_method",
                    "s2hand_photos_samples_table",
                    *_SETTINGS,
                ],
                "s2hand_photos_picture",
                name="draw_s2hand_photos",
            ),
            Node(
                draw_curves,
                {"S2HAND on photos without labels": "s2hand_photos_history"},
                "s2hand_photos_curves",
                name="draw_s2hand_photos_curves",
            ),
            Node(PAGE.render, PAGE.inputs, "s2hand_photos_page", name="write_s2hand_photos_page"),
        ]
    )
