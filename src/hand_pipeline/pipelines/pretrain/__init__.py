"""Pretrain a ViT on unlabelled crops."""

from hand_pipeline.pipelines.pretrain.pipeline import create_pipeline

__all__ = ["create_pipeline"]
