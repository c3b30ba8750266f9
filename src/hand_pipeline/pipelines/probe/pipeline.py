"""The `probe` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.probe.nodes import draw_curves, score_probe, train_probe


def create_pipeline() -> Pipeline:
    """Labelled hands and a frozen backbone in, the errors of what can be read off it out."""
    return Pipeline(
        [
            Node(
                train_probe,
                [
                    "pretrained_backbone",
                    "labelled_hands",
                    "params:probe.start",
                    "params:backbone",
                    "params:probe.labels",
                    "params:probe.mix",
                    "params:probe.augmentation",
                    "params:probe.method",
                    "params:probe.training",
                    "params:machine",
                ],
                ["probe_method", "probe_metrics", "probe_history"],
                name="train_probe",
            ),
            Node(draw_curves, "probe_history", "probe_curves", name="draw_probe_curves"),
            Node(
                score_probe,
                [
                    "labelled_hands",
                    "probe_method",
                    "params:probe.labels",
                    "params:probe.evaluation",
                    "params:machine",
                ],
                ["probe_scores_metrics", "probe_samples_table", "probe_auc_curves"],
                name="score_probe",
            ),
        ]
    )
