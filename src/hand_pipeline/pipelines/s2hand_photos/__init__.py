"""S2HAND on photos of which nothing is known but what a detector saw in them."""

from hand_pipeline.pipelines.s2hand_photos.pipeline import create_pipeline

__all__ = ["create_pipeline"]
