"""What frozen features tell about hands on real photos: signs, fingers, finger tips."""

from hand_pipeline.pipelines.photo_probes.pipeline import create_pipeline

__all__ = ["create_pipeline"]
