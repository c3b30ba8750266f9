"""How results follow the share of the labels."""

from hand_pipeline.pipelines.scalability.pipeline import create_pipeline

__all__ = ["create_pipeline"]
