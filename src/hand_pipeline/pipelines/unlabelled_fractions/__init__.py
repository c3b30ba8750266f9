"""HandMIM on shares of the crops."""

from hand_pipeline.pipelines.unlabelled_fractions.pipeline import create_pipeline

__all__ = ["create_pipeline"]
