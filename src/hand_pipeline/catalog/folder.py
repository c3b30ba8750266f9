"""Folders as a Kedro data set: made elsewhere, moved into place when complete."""

import os
import shutil
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.io.core import DatasetError


class FolderDataset(AbstractDataset[Path, Path]):
    """A folder of files that a stage wrote itself.

    Loading gives the folder's path. Saving takes the path of a finished folder on the same disk
    and moves it into place, so that a half-made folder never has the final name.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> Path:
        """The folder's path."""
        if not self._filepath.is_dir():
            raise DatasetError(f"no folder {self._filepath}; run the stage that makes it first")
        return self._filepath

    def save(self, data: Path) -> None:
        """Move the finished folder `data` into place, replacing the former one."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        former = self._filepath.with_name(f".{self._filepath.name}.former")
        shutil.rmtree(former, ignore_errors=True)
        if self._filepath.exists():
            os.replace(self._filepath, former)
        shutil.move(data, self._filepath)
        shutil.rmtree(former, ignore_errors=True)

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
