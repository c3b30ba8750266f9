"""HandMIM on shares of the crops."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """HandMIM on shares of the crops."""
    return sweep_pipeline("unlabelled_fractions")
