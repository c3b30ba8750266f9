"""Hand poses as tokens: train VQ-MANO and say what its tokens lose."""

from hand_pipeline.pipelines.tokenizer.pipeline import create_pipeline

__all__ = ["create_pipeline"]
