"""Models and baselines on the same held-out hands."""

from hand_pipeline.pipelines.comparisons.pipeline import create_pipeline

__all__ = ["create_pipeline"]
