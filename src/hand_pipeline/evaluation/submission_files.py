"""The files that leaderboards take, written: hand by hand, whole or not at all, and read back.

Each writer is a context: hands are added in batches, in the set's order; at its end the count is
checked, the file is read again and compared with what was added, and only then gets its name.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from hand_pipeline.data.readers.json_arrays import Stream, iter_lists, iter_rows
from hand_pipeline.evaluation.submission import PRED_JSON, PRED_JSON_NAMES, iter_dexycb_lines
from hand_pipeline.files import atomic_write

MEMBER = "pred.json"
DECIMALS = 8
"""Of metres: finer than single precision at arm's length, so that a file scores as the arrays that
it was written from; still half the size of full doubles. Six would move a joint across a threshold
of an AUC now and then."""
DECIMALS_MM = 5
DECIMALS_PX = 4


class Submission(NamedTuple):
    """The two files written: the plain list and the archive that is handed in."""

    json_path: Path
    zip_path: Path


class _Content:
    """What has been added of one array: how many rows, and a hash of their rounded numbers."""

    def __init__(self, label: str, decimals: int) -> None:
        self.label, self.decimals = label, decimals
        self.count = 0
        self._row_shape: tuple[int, ...] = ()
        self._hash = hashlib.blake2b()

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """The rows as they will stand in the file; to be noted when they do.

        Raises:
            ValueError: values that are not finite, or rows of another shape than before.
        """
        bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
        if bad.size:
            raise ValueError(
                f"{self.label} of hands {(bad[:10] + self.count).tolist()} are not finite"
            )
        self._row_shape = self._row_shape or values.shape[1:]
        if values.shape[1:] != self._row_shape:
            raise ValueError(
                f"{self.label} of hand {self.count} have shape {values.shape[1:]}, those before "
                f"{self._row_shape}"
            )
        rows: np.ndarray = np.round(values.astype(np.float64), self.decimals) + 0.0  # no -0.0
        return rows

    def note(self, rows: np.ndarray) -> None:
        """Count and hash rows."""
        self.count += len(rows)
        self._hash.update(np.ascontiguousarray(rows).data)

    def same_as(self, other: "_Content") -> bool:
        """Whether both hold the same rows."""
        return self.count == other.count and self._hash.digest() == other._hash.digest()


class _HandFile:
    """Rows of numbers on their way into a file."""

    def __init__(self, expected: int | None, *contents: _Content) -> None:
        self.expected, self.contents = expected, contents

    @property
    def count(self) -> int:
        """Hands added so far."""
        return self.contents[0].count

    def check_count(self) -> None:
        """Refuse another number of hands than expected."""
        if self.expected is not None and self.count != self.expected:
            raise ValueError(
                f"expected {self.expected} hands, got {self.count}; predict the whole split"
            )

    def check_copy(self, pieces: Iterable[tuple[int, np.ndarray]], path: Path) -> None:
        """Compare what a file holds, (which content, rows), with what was added."""
        copies = [_Content(content.label, content.decimals) for content in self.contents]
        for which, rows in pieces:
            copies[which].note(rows)
        for content, copy in zip(self.contents, copies):
            if not content.same_as(copy):
                raise OSError(
                    f"{content.label} in {path} do not read back as they were written "
                    f"({copy.count} of {content.count} rows); the disk may be failing"
                )


class PredJson(_HandFile):
    """FreiHAND's and HO-3D's `[xyz_list, verts_list]`, one hand a line.

    Meshes wait in a nameless file beside it, because all joints come first.
    """

    def __init__(self, stream: IO[bytes], spool: IO[bytes], expected: int | None) -> None:
        super().__init__(expected, _Content("joints", DECIMALS), _Content("vertices", DECIMALS))
        self._stream, self._spool = stream, spool
        stream.write(b"[[\n")

    def add(
        self,
        joints: Float[np.ndarray, "hands 21 3"],
        vertices: Float[np.ndarray, "hands vertices 3"],
    ) -> None:
        """The next hands: metres, the set's own joint order and axes.

        Raises:
            ValueError: values that are not finite, or not a mesh for each hand.
        """
        if len(joints) != len(vertices):
            raise ValueError(f"got {len(joints)} joint sets and {len(vertices)} meshes")
        rounded = [c.rounded(values) for c, values in zip(self.contents, (joints, vertices))]
        for file, content, rows in zip((self._stream, self._spool), self.contents, rounded):
            _write_rows(file, content, rows)

    def finish(self) -> None:
        """Check the count and put the meshes behind the joints."""
        self.check_count()
        self._stream.write(b"\n],[\n")
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, self._stream, 1 << 20)
        self._stream.write(b"\n]]\n")

    def check(self, stream: Stream, path: Path) -> None:
        """Compare a copy of the file with what was added."""
        self.check_copy(iter_lists(stream, PRED_JSON, PRED_JSON_NAMES), path)


@contextmanager
def pred_json(directory: Path | str, expected: int | None = None) -> Iterator[PredJson]:
    """Write `pred.json` = `[xyz_list, verts_list]` and `pred.zip` with it at the root.

    Metres; the data set's order of samples, joint order and axes (FreiHAND: OpenPose order, OpenCV;
    HO-3D: its own order, OpenGL). Rounded to 8 decimals; memory does not grow with the hands.

    Args:
        directory: where the files go.
        expected: number of hands the server wants (FreiHAND 3960, HO-3D v2 11524, v3 20137).

    Raises:
        ValueError: another number of hands than expected, or values that are not finite.
        OSError: a file does not read back as it was written.
    """
    paths = submission_paths(directory)
    with (
        atomic_write(paths.json_path) as temporary,
        atomic_write(paths.zip_path) as archive_path,
        tempfile.TemporaryFile(dir=directory) as spool,
    ):
        with temporary.open("wb") as stream:
            writer = PredJson(stream, spool, expected)
            yield writer
            writer.finish()
        with temporary.open("rb") as stream:
            writer.check(stream, paths.json_path)
        _zip(temporary, archive_path)
        with zipfile.ZipFile(archive_path) as archive, archive.open(MEMBER) as member:
            writer.check(member, paths.zip_path)


def submission_paths(directory: Path | str) -> Submission:
    """What `pred_json` writes into a directory."""
    return Submission(Path(directory) / MEMBER, Path(directory) / "pred.zip")


class DexYcbResults(_HandFile):
    """DexYCB's lines `index,x1,y1,z1,...`, millimetres."""

    def __init__(self, stream: IO[bytes], expected: int | None) -> None:
        super().__init__(expected, _Content("results", DECIMALS_MM))
        self._stream = stream

    def add(
        self, indices: Int[np.ndarray, " hands"], joints: Float[np.ndarray, "hands 21 3"]
    ) -> None:
        """The next hands.

        Args:
            indices: place of each in the toolkit's `DexYCBDataset`.
            joints: METRES, OpenPose order, OpenCV camera frame.

        Raises:
            ValueError: values that are not finite, or negative indices.
        """
        if (indices < 0).any():
            raise ValueError(
                "the hands' places in DexYCB's list are not known: a subject's folder is missing"
            )
        flat = joints.reshape(len(joints), 63).astype(np.float64) * 1000.0
        table = np.concatenate([indices[:, None].astype(np.float64), flat], axis=1)
        rows = self.contents[0].rounded(table)
        self.contents[0].note(rows)
        for row in rows.tolist():
            line = ",".join([str(int(row[0])), *map(repr, row[1:])])
            self._stream.write(line.encode() + b"\n")


@contextmanager
def dexycb_results(path: Path | str, expected: int | None = None) -> Iterator[DexYcbResults]:
    """Write DexYCB's text file; see `pred_json` for checks and errors."""
    with atomic_write(path) as temporary:
        with temporary.open("wb") as stream:
            writer = DexYcbResults(stream, expected)
            yield writer
            writer.check_count()
        writer.check_copy(((0, rows) for rows in iter_dexycb_lines(temporary)), Path(path))


class Keypoints2d(_HandFile):
    """A list N x 21 x 2 of pixels, one hand a line."""

    def __init__(self, stream: IO[bytes], expected: int | None) -> None:
        super().__init__(expected, _Content("2D joints", DECIMALS_PX))
        self._stream = stream
        stream.write(b"[\n")

    def add(self, joints_2d: Float[np.ndarray, "hands 21 2"]) -> None:
        """The next hands: px of the full photo, OpenPose order; left hands where they are.

        Raises:
            ValueError: values that are not finite.
        """
        content = self.contents[0]
        _write_rows(self._stream, content, content.rounded(joints_2d))


@contextmanager
def keypoints_2d(path: Path | str, expected: int | None = None) -> Iterator[Keypoints2d]:
    """Write the 2D joints of one part of HInt; see `pred_json` for checks and errors."""
    with atomic_write(path) as temporary:
        with temporary.open("wb") as stream:
            writer = Keypoints2d(stream, expected)
            yield writer
            writer.check_count()
            stream.write(b"\n]\n")
        with temporary.open("rb") as stream:
            rows = iter_rows(stream, (21, 2), "the list")
            writer.check_copy(((0, part) for part in rows), Path(path))


def _write_rows(stream: IO[bytes], content: _Content, rows: np.ndarray) -> None:
    first = content.count == 0
    content.note(rows)
    for row in rows:
        text = json.dumps(row.tolist(), separators=(",", ":"))
        stream.write((text if first else f",\n{text}").encode())
        first = False


def _zip(source: Path, target: Path) -> None:
    # A fixed date makes the archive a function of its content, so DVC sees no change in a re-run.
    entry = zipfile.ZipInfo(MEMBER, date_time=(1980, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with (
        zipfile.ZipFile(target, "w") as archive,
        archive.open(entry, "w", force_zip64=True) as out,
        source.open("rb") as stream,
    ):
        shutil.copyfileobj(stream, out, 1 << 20)
