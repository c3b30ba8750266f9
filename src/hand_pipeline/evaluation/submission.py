"""The files that leaderboards take, read: FreiHAND's and HO-3D's, DexYCB's, and 2D joints for HInt.

Files hold what they hold: HO-3D's joint order and OpenGL axes are for the reader's caller to undo.
"""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int
from pyarrow import csv

from hand_pipeline.data.readers.json_arrays import read_lists, read_rows

PRED_JSON = ((21, 3), (-1, 3))
"""Shapes of a row of `xyz_list` and of `verts_list`, whose number of vertices is the file's."""
PRED_JSON_NAMES = ("xyz_list", "verts_list")
DEXYCB_COLUMNS = ("index", *(f"{axis}{joint}" for joint in range(1, 22) for axis in "xyz"))


def read_submission(
    path: Path | str,
) -> tuple[Float[np.ndarray, "samples 21 3"], Float[np.ndarray, "samples vertices 3"]]:
    """Joints and vertices of a `pred.json`, or of a zip that holds one; doubles, as in the file.

    Read in pieces: takes a hundred megabytes more than its result (HO-3D v3: 0.4 GB of 1 GB text).

    Raises:
        ValueError: the file is not of the form `[xyz_list, verts_list]`, N x 21 x 3 and N x V x 3
            numbers, or is cut short; says in which row.
    """
    path = Path(path)
    with _opened(path) as stream:
        try:
            joints, vertices = read_lists(stream, PRED_JSON, PRED_JSON_NAMES)
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path}: {error}; expected [xyz_list, verts_list], N x 21 x 3 and N x V x 3 metres"
            ) from error
    if len(joints) != len(vertices):
        raise ValueError(
            f"expected {path} to hold [xyz_list, verts_list] of one length each, got "
            f"{len(joints)} and {len(vertices)} hands"
        )
    return joints, vertices


def read_dexycb_results(
    path: Path | str,
) -> tuple[Int[np.ndarray, " lines"], Float[np.ndarray, "lines 21 3"]]:
    """Indices and joints, MILLIMETRES as in the file, of DexYCB results; in the lines' order.

    Not brought to metres: to divide and multiply again would move errors of an exact copy off 0,
    and with them its area under the curve.

    Raises:
        ValueError: a line has not 64 numbers `index,x1,y1,z1,...`, or its index is none.
    """
    rows = [np.empty((0, 64)), *iter_dexycb_lines(Path(path))]
    table = np.concatenate(rows)
    index = table[:, 0]
    wrong = np.flatnonzero(~(np.isfinite(index) & (index == np.round(index)) & (index >= 0)))
    if wrong.size:
        raise ValueError(
            f"{path}: line {wrong[0] + 1} begins with {index[wrong[0]]}, expected the sample's "
            "index in DexYCBDataset"
        )
    return index.astype(np.int64), table[:, 1:].reshape(-1, 21, 3)


def iter_dexycb_lines(path: Path) -> Iterator[Float[np.ndarray, "lines 64"]]:
    """Lines of DexYCB results as they are, a block of them at a time.

    Raises:
        ValueError: no such file, or a line has not 64 numbers.
    """
    if not path.is_file():
        raise ValueError(f"no file {path}; expected DexYCB results, 64 numbers a line")
    if not path.stat().st_size:
        return
    try:
        with csv.open_csv(
            path,
            read_options=csv.ReadOptions(column_names=list(DEXYCB_COLUMNS)),
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(DEXYCB_COLUMNS, pa.float64()),
                null_values=[],
                strings_can_be_null=False,
            ),
        ) as blocks:
            for block in blocks:
                yield np.stack([column.to_numpy() for column in block.columns], axis=1)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{path} is no DexYCB result: expected index,x1,y1,z1,... with 64 numbers in each line "
            f"({error})"
        ) from error


def read_keypoints_2d(path: Path | str) -> Float[np.ndarray, "samples 21 2"]:
    """Joints in pixels of the full photos: a JSON list N x 21 x 2, or `keypoints_2d` of an .npz.

    Raises:
        ValueError: the file is missing, cut short, or of another form.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no file {path}; expected 2D joints, N x 21 x 2 pixels")
    if path.suffix != ".npz":
        return read_rows(path, (21, 2), np.float64)
    try:
        with np.load(path, allow_pickle=False) as archive:
            points = np.asarray(archive["keypoints_2d"], dtype=np.float64)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} holds no 2D joints, N x 21 x 2: {error}") from error
    if points.ndim != 3 or points.shape[1:] != (21, 2):
        raise ValueError(f"expected N x 21 x 2 pixels in {path}, got {points.shape}")
    return points


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | io.BufferedIOBase]:
    """The JSON's bytes, wherever it stands."""
    if not path.is_file():
        raise ValueError(f"no file {path}; expected a pred.json or a zip that holds one")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as plain:
            yield plain
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".json")]
        if len(names) != 1 or "/" in names[0]:
            raise ValueError(
                f"expected one .json at the root of {path}, got {archive.namelist()}; "
                "pack it with `zip -j pred.zip pred.json`"
            )
        with archive.open(names[0]) as member:
            yield member
