"""Any file data set, written whole or not at all."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from hand_pipeline.files import atomic_write


class AtomicDataset(AbstractDataset[Any, Any]):
    """Wraps another data set of one file: saves go to a temporary name that is then renamed.

    Args:
        filepath: where the file is.
        dataset: the wrapped data set's catalog entry, without its `filepath`.
    """

    def __init__(
        self, *, filepath: str, dataset: dict[str, Any], metadata: dict[str, Any] | None = None
    ):
        self._filepath, self._dataset = Path(filepath), dataset
        self.metadata = metadata

    def _inner(self, path: Path) -> AbstractDataset[Any, Any]:
        return AbstractDataset.from_config("inner", {**self._dataset, "filepath": str(path)})

    def load(self) -> Any:
        """What the wrapped data set loads."""
        return self._inner(self._filepath).load()

    def save(self, data: Any) -> None:
        """What the wrapped data set saves, atomically."""
        with atomic_write(self._filepath) as temporary:
            self._inner(temporary).save(data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "dataset": self._dataset}
