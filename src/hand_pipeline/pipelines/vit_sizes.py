"""ViTs of several sizes: error, parameters, cost and speed."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """ViTs of several sizes: error, parameters, cost and speed."""
    return sweep_pipeline("vit_sizes")
