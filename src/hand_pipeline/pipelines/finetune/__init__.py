"""Fine-tune to MANO hands: from scratch, and from the pretrained backbone."""

from hand_pipeline.pipelines.finetune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
