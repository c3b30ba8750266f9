"""Models on a set other than the one they were trained on."""

from hand_pipeline.pipelines.cross_dataset.pipeline import create_pipeline

__all__ = ["create_pipeline"]
