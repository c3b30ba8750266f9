"""The `report` pipeline."""

from kedro.pipeline import Node, Pipeline

from hand_pipeline.pipelines.report.nodes import write_report


def create_pipeline() -> Pipeline:
    """Tables and pictures of the other stages in, one HTML page out."""
    return Pipeline(
        [
            Node(
                write_report,
                [
                    "results_table",
                    "collect_table",
                    "export_metrics",
                    "pretrain_curves",
                    "finetune_curves",
                    "auc_curves",
                    "hands_picture",
                    "crops_picture",
                    "synthetic_picture",
                    "params:synthesize",
                    "params:collect",
                    "params:backbone",
                    "params:pretrain",
                    "params:finetune",
                ],
                "report_page",
                name="write_report",
            )
        ]
    )
