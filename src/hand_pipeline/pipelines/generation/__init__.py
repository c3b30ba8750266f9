"""Hands from words and from nothing: train MaskHand on texts, score what is generated."""

from hand_pipeline.pipelines.generation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
