"""Score the mean hand and every fine-tuned model on held-out hands."""

from hand_pipeline.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
