"""MaskHand's parts, losses, masking, scales and layers."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """MaskHand's parts, losses, masking, scales and layers."""
    return sweep_pipeline("maskhand_ablations")
