"""Joints read off frozen features, by pretraining."""

from hand_pipeline.pipelines.linear_probe.pipeline import create_pipeline

__all__ = ["create_pipeline"]
