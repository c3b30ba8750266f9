"""Write a leaderboard submission."""

from hand_pipeline.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
