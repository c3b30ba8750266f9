"""ViTs of several sizes: error, parameters, cost and speed."""

from hand_pipeline.pipelines.vit_sizes.pipeline import create_pipeline

__all__ = ["create_pipeline"]
