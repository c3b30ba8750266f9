"""VQ-MANO by its number of tokens and the size of its codebook."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """VQ-MANO by its number of tokens and the size of its codebook."""
    return sweep_pipeline("tokenizer_sizes")
