"""Checkpoints as a Kedro data set."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


class CheckpointDataset(AbstractDataset[Checkpoint, Checkpoint]):
    """One safetensors file with JSON metadata (`training.checkpoint`)."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Checkpoint:
        """The checkpoint, on the CPU."""
        return load_checkpoint(self._filepath)

    def save(self, data: Checkpoint) -> None:
        """Write it whole or not at all."""
        save_checkpoint(self._filepath, data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
