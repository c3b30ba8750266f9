"""Find the 2D joints of labelled hands, as a detector gives them."""

from hand_pipeline.pipelines.detect.pipeline import create_pipeline

__all__ = ["create_pipeline"]
