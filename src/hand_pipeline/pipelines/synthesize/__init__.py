"""Render labelled synthetic hands in FreiHAND's layout."""

from hand_pipeline.pipelines.synthesize.pipeline import create_pipeline

__all__ = ["create_pipeline"]
