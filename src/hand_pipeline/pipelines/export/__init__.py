"""Write what leaderboards take."""

from hand_pipeline.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
