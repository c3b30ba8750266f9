"""How results follow the share of the labels."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """How results follow the share of the labels."""
    return sweep_pipeline("scalability")
