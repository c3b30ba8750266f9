"""HandMIM with each of its losses left out."""

from hand_pipeline.pipelines.ablations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
