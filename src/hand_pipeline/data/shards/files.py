"""Tar shards in webdataset layout with an offset index: any sample in one positioned read.

A folder holds `shard-00000.tar`, ... with the members `<key>.jpg` and `<key>.json` of about 1,000
samples each, and `index.parquet` (key, shard, where image and metadata lie; each shard's size and
SHA-256 in the file's metadata). Every tool that reads webdataset reads the tars; the index adds an
exact length, random access, and a check that nothing is cut off. The index is written last, so a
folder without one is unfinished.
"""

import hashlib
import json
import os
import tarfile
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hand_pipeline.files import atomic_write, atomic_write_bytes

INDEX_NAME = "index.parquet"
_BLOCK = 512  # tar's unit: headers and data are padded to it
_COLUMNS = ("shard", "image_offset", "image_length", "meta_offset", "meta_length")


class ShardError(RuntimeError):
    """A folder of shards is unfinished, incomplete or damaged; the message says what to do."""


class ShardWriter:
    """Writes samples to tar shards; use as a context manager.

    Each shard appears whole or not at all; the index appears when the block ends without error.
    What an earlier run left in `out_dir` (shards and index) is replaced.

    Args:
        out_dir: folder of the shards.
        items_per_shard: samples a shard.
    """

    def __init__(self, out_dir: Path | str, items_per_shard: int = 1000) -> None:
        if items_per_shard < 1:
            raise ValueError(f"a shard holds at least one sample, not {items_per_shard}")
        self.out_dir = Path(out_dir)
        self.items_per_shard = items_per_shard
        self._buffer = bytearray()
        self._in_shard = 0
        self._rows: list[tuple[int, ...]] = []
        self._keys: dict[str, None] = {}
        self._shards: list[dict[str, Any]] = []

    def __enter__(self) -> "ShardWriter":
        self.out_dir.mkdir(parents=True, exist_ok=True)
        (self.out_dir / INDEX_NAME).unlink(missing_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()

    def add(self, key: str, image: bytes, meta: dict[str, Any], suffix: str = "jpg") -> None:
        """Add one sample.

        Args:
            key: unique name; letters, digits, `_`, `-` and `/`, no dot (webdataset cuts there).
            image: the encoded image.
            meta: anything JSON can hold.
            suffix: file ending of the image.

        Raises:
            ValueError: a key with a dot, an empty one, or one already there.
        """
        if not key or "." in key or key in self._keys:
            raise ValueError(f"a shard's keys are unique and hold no dot; got {key!r}")
        image_offset = self._append(f"{key}.{suffix}", image)
        encoded = json.dumps(meta, sort_keys=True, allow_nan=False).encode()
        meta_offset = self._append(f"{key}.json", encoded)
        self._keys[key] = None
        place = (len(self._shards), image_offset, len(image), meta_offset, len(encoded))
        self._rows.append(place)
        self._in_shard += 1
        if self._in_shard == self.items_per_shard:
            self._close_shard()

    def _append(self, name: str, content: bytes) -> int:
        header = tarfile.TarInfo(name)
        header.size = len(content)  # times and owners stay 0: same samples, same bytes
        self._buffer += header.tobuf(tarfile.PAX_FORMAT)
        offset = len(self._buffer)
        self._buffer += content
        self._buffer += bytes(-len(content) % _BLOCK)
        return offset

    def _close_shard(self) -> None:
        self._buffer += bytes(2 * _BLOCK)  # tar's end mark
        content = bytes(self._buffer)
        name = f"shard-{len(self._shards):05d}.tar"
        atomic_write_bytes(self.out_dir / name, content)
        digest = hashlib.sha256(content).hexdigest()
        self._shards.append({"name": name, "bytes": len(content), "sha256": digest})
        self._buffer.clear()
        self._in_shard = 0

    def _finish(self) -> None:
        if self._in_shard:
            self._close_shard()
        columns = np.array(self._rows, dtype=np.int64).reshape(-1, len(_COLUMNS)).T
        table = pa.table({"key": pa.array(self._keys, pa.string())})
        for name, column in zip(_COLUMNS, columns, strict=True):
            table = table.append_column(name, pa.array(column))
        table = table.replace_schema_metadata({"shards": json.dumps(self._shards)})
        kept = {shard["name"] for shard in self._shards}
        for old in self.out_dir.glob("shard-*.tar"):
            if old.name not in kept:
                old.unlink()
        with atomic_write(self.out_dir / INDEX_NAME) as path:
            pq.write_table(table, path)


class _Descriptor:
    """An open file that closes itself when nobody reads from it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class ShardReader:
    """Random access to the samples of a folder that `ShardWriter` wrote.

    Reads are positioned (`os.pread`), so threads and forked workers may share one reader; files
    are opened when first read, and not sent to spawned workers.

    Args:
        directory: folder with `index.parquet` and the shards.
        max_open: most files held open at a time.

    Raises:
        ShardError: no index, a missing shard, or one whose size is not what the index says.
    """

    def __init__(self, directory: Path | str, max_open: int = 256) -> None:
        self.directory = Path(directory)
        index = self.directory / INDEX_NAME
        if not index.is_file():
            raise ShardError(
                f"{self.directory} holds no {INDEX_NAME}: either it is not a folder of shards or "
                "the stage that writes it did not finish; run that stage again"
            )
        try:
            table = pq.read_table(index)
        except (pa.ArrowInvalid, OSError) as error:
            raise ShardError(f"{index} cannot be read ({error}); {_REPAIR}") from error
        self.keys: list[str] = table.column("key").to_pylist()
        self._places = np.stack([table.column(name).to_numpy() for name in _COLUMNS], axis=1)
        self.shards: list[dict[str, Any]] = json.loads(table.schema.metadata[b"shards"])
        self._max_open = max_open
        self._open: OrderedDict[int, _Descriptor] = OrderedDict()
        self._check_sizes()

    def __len__(self) -> int:
        return len(self.keys)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def image(self, index: int) -> bytes:
        """The encoded image of a sample."""
        shard, offset, length, _, _ = self._places[index].tolist()
        return self._read(shard, offset, length)

    def meta(self, index: int) -> dict[str, Any]:
        """The metadata of a sample.

        Raises:
            ShardError: the bytes are not JSON: the shard was changed after it was written.
        """
        shard, _, _, offset, length = self._places[index].tolist()
        return self._parse(index, self._read(shard, offset, length))

    def read(self, index: int) -> tuple[bytes, dict[str, Any]]:
        """The encoded image and the metadata of a sample, in one read: they lie side by side."""
        shard, start, image_length, meta_start, meta_length = self._places[index].tolist()
        both = self._read(shard, start, meta_start + meta_length - start)
        return both[:image_length], self._parse(index, both[meta_start - start :])

    def _parse(self, index: int, content: bytes) -> dict[str, Any]:
        try:
            return json.loads(content)
        except ValueError as error:
            raise ShardError(
                f"{self._path(int(self._places[index, 0]))} does not hold what its index says "
                f"(sample {self.keys[index]!r}); {_REPAIR}"
            ) from error

    @property
    def fingerprint(self) -> str:
        """One hash of all samples: of the shards' SHA-256 as the index states them."""
        return hashlib.sha256("".join(s["sha256"] for s in self.shards).encode()).hexdigest()

    def _path(self, shard: int) -> Path:
        return self.directory / self.shards[shard]["name"]

    def _check_sizes(self) -> None:
        for number, shard in enumerate(self.shards):
            path = self._path(number)
            if not path.is_file():
                raise ShardError(f"{path} is missing; {_REPAIR}")
            if (size := path.stat().st_size) != shard["bytes"]:
                raise ShardError(
                    f"{path} has {size} bytes where its index says {shard['bytes']}: it was "
                    f"truncated or replaced; {_REPAIR}"
                )

    def _read(self, shard: int, offset: int, length: int) -> bytes:
        descriptor = self._open.get(shard)
        if descriptor is None:
            descriptor = self._open[shard] = _Descriptor(self._path(shard))
            if len(self._open) > self._max_open:
                self._open.popitem(last=False)
        content = os.pread(descriptor.number, length, offset)
        if len(content) != length:
            raise ShardError(f"{self._path(shard)} ends before its sample does; {_REPAIR}")
        return content


_REPAIR = (
    "delete the folder and run the stage that wrote it again, or copy the shards anew from where "
    "they came"
)
