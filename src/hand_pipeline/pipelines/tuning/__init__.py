"""Let Optuna choose parameters of other pipelines."""

from hand_pipeline.pipelines.tuning.pipeline import create_pipeline

__all__ = ["create_pipeline"]
