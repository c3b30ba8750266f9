"""S2HAND with its groups of terms added one after the other."""

from hand_pipeline.pipelines.s2hand_ablations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
