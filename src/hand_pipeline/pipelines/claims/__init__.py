"""The papers' tables beside ours, and which of their claims hold in our runs."""

from hand_pipeline.pipelines.claims.pipeline import create_pipeline

__all__ = ["create_pipeline"]
