"""S2HAND with its groups of terms added one after the other."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """S2HAND with its groups of terms added one after the other."""
    return sweep_pipeline("s2hand_ablations")
