"""Models on a set other than the one they were trained on."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """Models on a set other than the one they were trained on."""
    return sweep_pipeline("cross_dataset")
