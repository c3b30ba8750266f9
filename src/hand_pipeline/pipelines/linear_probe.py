"""Joints read off frozen features, by pretraining."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """Joints read off frozen features, by pretraining."""
    return sweep_pipeline("linear_probe")
