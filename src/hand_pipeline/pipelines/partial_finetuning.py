"""Fine-tuning with the first blocks of the ViT left as they are."""

from kedro.pipeline import Pipeline

from hand_pipeline.sweeps.pipeline import sweep_pipeline


def create_pipeline() -> Pipeline:
    """Fine-tuning with the first blocks of the ViT left as they are."""
    return sweep_pipeline("partial_finetuning")
