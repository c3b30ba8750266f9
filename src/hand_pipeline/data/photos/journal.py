"""An append-only record of finished work that outlives a kill at any moment."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hand_pipeline.files import DiskFullError


class Journal:
    """Results by key, each with some blobs; use `close` when done.

    `blobs.bin` takes the blobs, `records.jsonl` one line a result that says where they lie; the
    line is written after the blobs. Opening cuts off a last line that is incomplete, so a killed
    process loses at most what it had not yet added.

    Args:
        folder: made if it is missing.

    Raises:
        DiskFullError: while adding; everything added before is safe.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._blob_path = folder / "blobs.bin"
        self._record_path = folder / "records.jsonl"
        self._blob_path.touch()
        self._record_path.touch()
        self._records: dict[str, dict[str, Any]] = {}
        good = self._load()
        with self._record_path.open("rb+") as handle:
            handle.truncate(good)
        self._record_file = self._record_path.open("ab")
        self._blob_file = self._blob_path.open("ab+")

    def __contains__(self, key: str) -> bool:
        return key in self._records

    def __len__(self) -> int:
        return len(self._records)

    def result(self, key: str) -> dict[str, Any]:
        """What was added under `key`."""
        result: dict[str, Any] = self._records[key]["result"]
        return result

    def blob(self, key: str, number: int) -> bytes:
        """The number-th blob of `key`."""
        offset, length = self._records[key]["blobs"][number]
        self._blob_file.seek(offset)
        return self._blob_file.read(length)

    def add(self, key: str, result: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Add a result (anything JSON can hold) and its blobs."""
        places = []
        try:
            offset = self._blob_file.seek(0, 2)
            for blob in blobs:
                self._blob_file.write(blob)
                places.append((offset, len(blob)))
                offset += len(blob)
            self._blob_file.flush()
            record = {"key": key, "result": result, "blobs": places}
            self._record_file.write(json.dumps(record).encode() + b"\n")
            self._record_file.flush()
        except OSError as error:
            raise DiskFullError(
                error.errno,
                f"cannot write to {self._record_path.parent} ({error.strerror}); free some space "
                "and run the same command again: it goes on where it stopped",
            ) from error
        self._records[key] = record

    def close(self) -> None:
        """Close the files."""
        self._record_file.close()
        self._blob_file.close()

    def _load(self) -> int:
        """Read all whole records; return how many bytes they fill."""
        good = 0
        size = self._blob_path.stat().st_size
        with self._record_path.open("rb") as handle:
            for line in handle:
                try:
                    record = json.loads(line)
                except ValueError:
                    break
                blobs_end = max((sum(place) for place in record["blobs"]), default=0)
                if not line.endswith(b"\n") or blobs_end > size:
                    break
                self._records[record["key"]] = record
                good += len(line)
        return good
