"""Kedro data sets of our own: checkpoints, folders, and any file written whole or not at all."""

from hand_pipeline.catalog.atomic import AtomicDataset
from hand_pipeline.catalog.checkpoint import CheckpointDataset
from hand_pipeline.catalog.folder import FolderDataset

__all__ = ["AtomicDataset", "CheckpointDataset", "FolderDataset"]
