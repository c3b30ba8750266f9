"""The sweep `comparisons`."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """Models and baselines on the same held-out hands."""
    return sweep_pipeline("comparisons")
