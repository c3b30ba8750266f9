"""What a pretraining and a fine-tuned model cost: parameters, time, speed."""

from hand_pipeline.pipelines.costs.pipeline import create_pipeline

__all__ = ["create_pipeline"]
