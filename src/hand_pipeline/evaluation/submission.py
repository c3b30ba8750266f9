"""Prediction files in the form the FreiHAND and HO-3D servers take."""

import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from jaxtyping import Float

from hand_pipeline.files import atomic_write

MEMBER = "pred.json"
DECIMALS = 6
"""Micrometres: a hundredth of what any table prints, and half the size of full doubles."""


class Submission(NamedTuple):
    """The two files written: the plain list and the archive that is handed in."""

    json_path: Path
    zip_path: Path


def write_submission(
    directory: Path | str,
    joints: Float[np.ndarray, "samples 21 3"],
    vertices: Float[np.ndarray, "samples 778 3"],
    expected: int | None = None,
) -> Submission:
    """Write `pred.json` = `[xyz_list, verts_list]` and `pred.zip` with it at the root.

    Metres, camera frame, the data set's order of samples and of joints (FreiHAND: OpenPose order,
    OpenCV axes). One hand a line, rounded to 6 decimals, written hand by hand; both files are read
    back and compared before they get their names.

    Args:
        directory: where the files go.
        joints: predictions in the order of the evaluation list.
        vertices: the meshes of the same hands.
        expected: number of hands the server wants (FreiHAND 3960, HO-3D v2 11524, v3 20137).

    Raises:
        ValueError: another number of hands than expected, or values that are not finite.
    """
    _check(joints, vertices, expected)
    paths = Submission(Path(directory) / MEMBER, Path(directory) / "pred.zip")
    with atomic_write(paths.json_path) as temporary:
        with temporary.open("w", encoding="ascii") as stream:
            stream.writelines(_lines(joints, vertices))
        with temporary.open("rb") as stream:
            _compare(stream, joints, vertices)
        with atomic_write(paths.zip_path) as archive_path:
            _zip(temporary, archive_path)
            with zipfile.ZipFile(archive_path) as archive, archive.open(MEMBER) as stream:
                _compare(stream, joints, vertices)
    return paths


def read_submission(path: Path | str) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 3) and vertices (N, 778, 3) of a `pred.json`, or of a zip that holds one.

    Raises:
        ValueError: the file is not of the form `[xyz_list, verts_list]`.
    """
    path = Path(path)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".json")]
            if len(names) != 1 or "/" in names[0]:
                raise ValueError(
                    f"expected one .json at the root of {path}, got {archive.namelist()}; "
                    "pack it with `zip -j pred.zip pred.json`"
                )
            content = json.loads(archive.read(names[0]))
    else:
        content = json.loads(path.read_bytes())
    if not isinstance(content, list) or len(content) != 2 or len(content[0]) != len(content[1]):
        raise ValueError(f"expected {path} to hold [xyz_list, verts_list] of one length each")
    joints, vertices = (np.asarray(part, dtype=np.float64) for part in content)
    if joints.ndim != 3 or joints.shape[1:] != (21, 3) or vertices.ndim != 3:
        raise ValueError(
            f"expected joints of N x 21 x 3 and vertices of N x V x 3 in {path}, "
            f"got {joints.shape} and {vertices.shape}"
        )
    return joints, vertices


def read_keypoints_2d(path: Path | str) -> np.ndarray:
    """2D joints (N, 21, 2): a JSON list, or an .npz with `keypoints_2d`; px of the full photos.

    Raises:
        ValueError: the file is of another form.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                points = np.asarray(archive["keypoints_2d"], dtype=np.float64)
        else:
            points = np.asarray(json.loads(path.read_bytes()), dtype=np.float64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no 2D joints, N x 21 x 2: {error}") from error
    if points.ndim != 3 or points.shape[1:] != (21, 2):
        raise ValueError(f"expected N x 21 x 2 joints in {path}, got {points.shape}")
    return points


def _check(joints: np.ndarray, vertices: np.ndarray, expected: int | None) -> None:
    if len(joints) != len(vertices) or (expected is not None and len(joints) != expected):
        raise ValueError(
            f"expected {len(joints) if expected is None else expected} hands, got "
            f"{len(joints)} joint sets and {len(vertices)} meshes; predict the whole split"
        )
    for label, values in (("joints", joints), ("vertices", vertices)):
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if bad.size:
            raise ValueError(f"{label} of hands {bad[:10].tolist()} are not finite")


def _rows(points: np.ndarray) -> Iterator[str]:
    last = len(points) - 1
    for i, hand in enumerate(points):
        rounded = np.round(hand.astype(np.float64), DECIMALS).tolist()
        yield json.dumps(rounded, separators=(",", ":")) + (",\n" if i < last else "\n")


def _lines(joints: np.ndarray, vertices: np.ndarray) -> Iterator[str]:
    yield "[[\n"
    yield from _rows(joints)
    yield "],[\n"
    yield from _rows(vertices)
    yield "]]\n"


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


def _compare(
    stream: IO[bytes] | io.BufferedIOBase, joints: np.ndarray, vertices: np.ndarray
) -> None:
    """Read line by line what was written and compare it with the arrays."""
    half_step = 0.51 * 10.0**-DECIMALS

    def expect(line: bytes) -> None:
        if (got := stream.readline()) != line:
            raise OSError(f"the submission reads back {got[:40]!r} where {line!r} was written")

    for head, points in ((b"[[\n", joints), (b"],[\n", vertices)):
        expect(head)
        for i, hand in enumerate(points):
            row = np.asarray(json.loads(stream.readline().rstrip(b",\n")))
            if row.shape != hand.shape or np.abs(row - hand).max() > half_step:
                raise OSError(f"hand {i} of the submission does not read back as it was written")
    expect(b"]]\n")
