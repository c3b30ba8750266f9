"""HandMIM with each of its losses left out."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """HandMIM with each of its losses left out."""
    return sweep_pipeline("ablations")
