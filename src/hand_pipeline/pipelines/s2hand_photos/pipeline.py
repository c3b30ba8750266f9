"""The `s2hand_photos` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.s2hand_photos.nodes import draw_curves, train_on_photos
from hand_pipeline.pipelines.s2hand_photos.page import write_page
from hand_pipeline.pipelines.s2hand_photos.scoring import compare_on_photos, draw_photos

_HANDS = "params:s2hand_photos.hands"
_TRAINING = "params:s2hand_photos.training"
_SETTINGS = [_HANDS, "params:s2hand_photos.evaluation", "params:machine"]


def create_pipeline() -> Pipeline:
    """Crops of photos and a trained S2HAND in; the same after learning on the photos out."""
    return Pipeline(
        [
            Node(
                train_on_photos,
                [
                    "hand_crops",
                    "s2hand_method",
                    _HANDS,
                    _TRAINING,
                    "params:machine",
                ],
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
                "s2hand_photos_history",
                "s2hand_photos_curves",
                name="draw_s2hand_photos_curves",
            ),
            Node(
                write_page,
                [
                    "s2hand_photos_table",
                    "s2hand_photos_samples_table",
                    "s2hand_photos_picture",
                    "s2hand_photos_curves",
                    _HANDS,
                    _TRAINING,
                ],
                "s2hand_photos_page",
                name="write_s2hand_photos_page",
            ),
        ]
    )
