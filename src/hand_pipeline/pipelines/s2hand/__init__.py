"""S2HAND: train it stage by stage without labels, and with them for comparison; score all."""

from hand_pipeline.pipelines.s2hand.pipeline import create_pipeline

__all__ = ["create_pipeline"]
