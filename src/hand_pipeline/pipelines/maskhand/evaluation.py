"""The second half of the `maskhand` pipeline: a trained model in, what it is worth out."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.maskhand.page import PAGE
from hand_pipeline.pipelines.maskhand.scoring import calibrate, predict_held_out, score
from hand_pipeline.pipelines.maskhand.studies import (
    check_sampling,
    draw_hypotheses,
    study_occlusion,
)

_HELD_OUT = ["labelled_hands", "hand_keypoints", "maskhand_method"]
_SETTINGS = ["params:maskhand_evaluation", "params:machine"]


def create_evaluation_pipeline() -> Pipeline:
    """Held-out hands, their keypoints and models in; tables, pictures and a page out."""
    return Pipeline(
        [
            Node(
                predict_held_out,
                [*_HELD_OUT, "handmim_method", *_SETTINGS],
                "maskhand_predicted_hands",
                name="predict_maskhand",
            ),
            Node(
                score,
                ["maskhand_predicted_hands", "params:maskhand_evaluation"],
                [
                    "maskhand_scores_metrics",
                    "maskhand_table",
                    "maskhand_samples_table",
                    "keypoints_study_table",
                ],
                name="score_maskhand",
            ),
            Node(
                calibrate,
                ["maskhand_predicted_hands", "params:maskhand_evaluation"],
                [
                    "maskhand_confidence_metrics",
                    "maskhand_confidence_table",
                    "maskhand_calibration_table",
                    "maskhand_calibration_picture",
                ],
                name="calibrate_maskhand",
            ),
            Node(
                check_sampling,
                [*_HELD_OUT, *_SETTINGS],
                "maskhand_sampling_metrics",
                name="check_maskhand_sampling",
            ),
            Node(
                study_occlusion,
                [*_HELD_OUT, "handmim_method", *_SETTINGS],
                ["occlusion_table", "occlusion_picture"],
                name="study_occlusion",
            ),
            Node(
                draw_hypotheses,
                [*_HELD_OUT, *_SETTINGS],
                "maskhand_hypotheses_picture",
                name="draw_hypotheses",
            ),
            Node(PAGE.render, PAGE.inputs, "maskhand_page", name="write_maskhand_page"),
        ]
    )
