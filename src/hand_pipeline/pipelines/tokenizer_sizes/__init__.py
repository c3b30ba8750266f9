"""VQ-MANO by its number of tokens and the size of its codebook."""

from hand_pipeline.pipelines.tokenizer_sizes.pipeline import create_pipeline

__all__ = ["create_pipeline"]
