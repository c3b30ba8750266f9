"""ASL alphabet (Kaggle, grassknoted): photos of one hand by letter, without any hand label.

    asl_alphabet_train/asl_alphabet_train/CLASS/CLASS{1..3000}.jpg    A to Z, del, nothing, space
    asl_alphabet_test/asl_alphabet_test/CLASS_test.jpg                28 of them, no del

MaskHand shows its reconstructions on the 26 letters. Labels may come from another program, in a
file of ours beside the folders: see `read_asl_alphabet`.
"""

import string
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hand_pipeline.data.manifest import DataSetError, HandManifest, build_manifest
from hand_pipeline.data.readers.accounting import settle_absent
from hand_pipeline.data.readers.folders import list_files

LETTERS = tuple(string.ascii_uppercase)
CLASSES = (*LETTERS, "del", "nothing", "space")
SIDE = 200
SIDECAR = "pseudo_labels_{split}.npz"
_ROWS = ("joints_2d", "joints_3d", "intrinsics", "mano_pose", "betas", "translation", "boxes")
_FLAGS = ("has_joints_2d", "has_joints_3d", "has_intrinsics", "has_mano", "is_right")


def read_asl_alphabet(
    root: Path, split: str, mano: Any, classes: Sequence[str] | None = None, partial: bool = False
) -> HandManifest:
    """The photos of one split, whole (200 px), ordered by class and number.

    `flags["letter"]` is the class. Every photo is its own group: of the set's recordings nothing is
    known, but neighbours are frames of one video, so a part split off at random is no test. Hands
    are called right, which nobody has checked, and "nothing" shows none.

    If there is a `pseudo_labels_train.npz` (or `_test`) in `root`, its arrays are the labels of
    the photos that it names: `ids` (e.g. "train/A12"), and any of HandManifest's `joints_2d`,
    `joints_3d`, `intrinsics`, `mano_pose`, `betas`, `translation`, `boxes`, `is_right`, the `has_`
    flags and a single `flat_hand_mean`, one row an id.

    Args:
        root: folder with `asl_alphabet_train` or `asl_alphabet_test`.
        split: "train" or "test".
        mano: not used; a sidecar's MANO numbers are taken as they are.
        classes: which; None: all that are there.
        partial: also where photos that the sidecar names are not there.

    Raises:
        DataSetError: no photo, an unknown class, or a sidecar that does not fit.
    """
    wanted = CLASSES if classes is None else tuple(classes)
    if unknown := sorted(set(wanted) - set(CLASSES)):
        raise DataSetError(f"no class {unknown[0]!r} in the ASL alphabet; it has {CLASSES}")
    folder = Path(f"asl_alphabet_{split}") / f"asl_alphabet_{split}"
    found = _train(root / folder) if split == "train" else _test(root / folder)
    chosen = [row for row, (name, _, _) in enumerate(found) if name in wanted]
    if not chosen:
        raise DataSetError(
            f"no photo of {', '.join(wanted)} in {root / folder}; expected "
            + ("CLASS/CLASS1.jpg and on" if split == "train" else "CLASS_test.jpg")
        )
    ids = [f"{split}/{Path(name).stem}" for _, _, name in found]
    sidecar = root / SIDECAR.format(split=split)
    given: dict[str, Any] = {
        "boxes": np.tile(np.array([0.0, 0.0, SIDE, SIDE]), (len(ids), 1)),
        "is_right": np.ones(len(ids), dtype=bool),
    }
    if sidecar.is_file():
        given |= _pseudo_labels(sidecar, ids, given, partial)
    manifest = build_manifest(
        "asl_alphabet",
        split,
        root,
        ids=ids,
        images=[(folder / name).as_posix() for _, _, name in found],
        image_side=SIDE,
        flags={"letter": np.array([name for name, _, _ in found], dtype="U7")},
        **given,
    )
    return manifest.select(chosen)


def _train(folder: Path) -> list[tuple[str, int, str]]:
    """Class, number and path of each photo; by number, not by text: A2 before A10."""
    found = []
    for name in CLASSES:
        for file in list_files(folder / name, rf"{name}[0-9]+\.jpg"):
            number = Path(file).stem.removeprefix(name)
            found.append((name, int(number), f"{name}/{file}"))
    return sorted(found)


def _test(folder: Path) -> list[tuple[str, int, str]]:
    return [
        (name, 0, f"{name}_test.jpg") for name in CLASSES if (folder / f"{name}_test.jpg").is_file()
    ]


def _pseudo_labels(
    path: Path, ids: list[str], default: dict[str, Any], partial: bool
) -> dict[str, Any]:
    """A sidecar's arrays, spread over all photos."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataSetError(f"{path} is no npz file of plain arrays ({error})") from error
    if "ids" not in arrays:
        raise DataSetError(f"{path} lacks 'ids' (it has {', '.join(arrays) or 'nothing'})")
    flat = bool(arrays.pop("flat_hand_mean", True))
    named = arrays.pop("ids").tolist()
    place = {name: row for row, name in enumerate(ids)}
    if not named:
        raise DataSetError(f"{path} labels nothing: it has no ids; make it again or remove it")
    unknown = [name for name in named if name not in place]
    settle_absent(path.parent, f"photos that {path.name} labels", unknown, len(named), partial)
    if bad := sorted(set(arrays) - {*_ROWS, *_FLAGS}):
        raise DataSetError(f"{path}: unknown array {bad[0]!r}; known: {', '.join(_ROWS + _FLAGS)}")
    flags = {"joints_2d": (21,), "joints_3d": (21,), "intrinsics": (), "mano_pose": ()}
    for name in flags.keys() & arrays.keys():
        flag = "has_mano" if name == "mano_pose" else f"has_{name}"
        arrays.setdefault(flag, np.ones((len(named), *flags[name]), dtype=bool))
    there = np.array([name in place for name in named])
    rows = np.array([place[name] for name in named if name in place], dtype=np.int64)
    spread: dict[str, Any] = {"flat_hand_mean": flat}
    for name, array in arrays.items():
        if len(array) != len(named):
            raise DataSetError(f"{path}: {len(named)} ids, but {len(array)} rows of {name!r}")
        kind = bool if name in _FLAGS else np.float32
        full = default.get(name, np.zeros((len(ids), *array.shape[1:]))).astype(kind)
        full[rows] = array[there]
        spread[name] = full
    return spread
