"""MaskHand's parts, losses, masking, scales and layers."""

from hand_pipeline.pipelines.maskhand_ablations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
