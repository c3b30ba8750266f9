"""MaskHand: train the masked transformer on the tokens of VQ-MANO, and score it."""

from hand_pipeline.pipelines.maskhand.pipeline import create_pipeline

__all__ = ["create_pipeline"]
