"""Find hands in photos, crop them, and store the crops in shards."""

from hand_pipeline.pipelines.collect.pipeline import create_pipeline

__all__ = ["create_pipeline"]
