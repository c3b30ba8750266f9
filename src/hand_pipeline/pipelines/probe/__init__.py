"""What the frozen features of a backbone tell about the joints of a hand."""

from hand_pipeline.pipelines.probe.pipeline import create_pipeline

__all__ = ["create_pipeline"]
