"""One HTML page of the whole run."""

from hand_pipeline.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
