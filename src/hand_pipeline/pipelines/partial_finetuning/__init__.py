"""Fine-tuning with the first blocks of the ViT left as they are."""

from hand_pipeline.pipelines.partial_finetuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
