"""Is a folder a data set's, and which of its files are; the same for all readers."""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from hand_pipeline.data.manifest import DataSetError

TRACES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "freihand": ("{split}/rgb", "{split}_*.json"),
        "ho3d": ("{split}", "{split}.txt"),
        "h2o3d": ("{split}", "{split}.txt"),
        "dexycb": ("*-subject-*",),
        "interhand": ("annotations/{split}", "images/{split}"),
        "mtc": ("annotation.pkl", "camera_data.pkl"),
        "rhd": ("{split}/color", "{split}/anno_{split}.pickle"),
        "coco_wholebody": (
            "coco_wholebody_{split}_v*.json",
            "annotations/coco_wholebody_{split}_v*.json",
        ),
        "halpe": ("annotations/halpe_{split}_v*.json",),
        "mpii_nzsl": ("hand_labels/{split}", "hand_labels_synth/{split}*", "{split}_panopticdb"),
        "youtube3d": ("youtube_{split}.json",),
        "hint": ("{split}", "HInt_annotation*/{split}"),
        "asl_alphabet": ("asl_alphabet_{split}/asl_alphabet_{split}",),
        "hamer_npz": ("{split}.npz",),
        "hamer_tars": ("*.tar", "*/*.tar", "*/*/*.tar"),
    }
)
"""By a set's module: what shows that a split is meant to be there. One match is enough, so that a
split that lost a part is read and found wrong, not passed over."""

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".rar", ".7z")
_NAMED = 3  # strangers

logger = logging.getLogger(__name__)


def list_files(folder: Path, pattern: str) -> list[str]:
    """Names in a folder that are a set's, in order; none where there is no such folder.

    Hidden ones (macOS leaves a `._NAME` beside every NAME, and .DS_Store) are passed over; others
    (Thumbs.db, a photo of something else) are too, and the log names them.

    Args:
        folder: not searched below.
        pattern: regular expression of the whole name.
    """
    if not folder.is_dir():
        return []
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    found = [name for name in names if re.fullmatch(pattern, name)]
    if len(found) < len(names):
        others = sorted(set(names) - set(found))
        said = ", ".join(others[:_NAMED]) + (", ..." if len(others) > _NAMED else "")
        logger.info("%s: %d files are not the set's, passed over: %s", folder, len(others), said)
    return found


def splits_in(root: Path, module: str, splits: Iterable[str]) -> list[str]:
    """Those splits of a set of which something lies in a folder."""
    return [
        split
        for split in splits
        if any(
            not found.name.startswith(".")
            for trace in TRACES[module]
            for found in root.glob(trace.format(split=split))
        )
    ]


def check_root(root: Path, module: str, title: str, splits: Iterable[str]) -> None:
    """Refuse what is not a set's folder, and say which one looks right.

    Args:
        root: the folder that was given.
        module: of the set's reader, key of `TRACES`.
        title: of the set.
        splits: all of its splits.

    Raises:
        DataSetError: it is an archive, missing, on another level of the tree, or of another set.
    """
    splits = list(splits)
    if not root.is_dir():
        raise DataSetError(_no_folder(root, module, title, splits))
    if splits_in(root, module, splits):
        return
    inside = sorted(path for path in root.iterdir() if not path.name.startswith("."))
    packed = [path for path in inside if path.name.endswith(_ARCHIVES)]
    near = [path for path in inside if path.is_dir()]
    near += [] if packed else [root.parent, root.parent.parent]
    meant = next((folder for folder in near if splits_in(folder, module, splits)), None)
    expected = ", ".join(trace.replace("{split}", "SPLIT") for trace in TRACES[module])
    raise DataSetError(
        f"nothing of {title} in {root}; expected {expected} there, where SPLIT is one of "
        f"{', '.join(splits)} (docs/datasets.md shows the folder)"
        + (f". Is {meant} meant?" if meant else f". Unpack {packed[0]} first" if packed else "")
    )


def _no_folder(root: Path, module: str, title: str, splits: list[str]) -> str:
    if root.is_file():
        if root.parent.is_dir() and splits_in(root.parent, module, splits):
            return f"{root} is a file; expected the folder of {title}. Is {root.parent} meant?"
        return f"{root} is a file; expected the folder of {title}: unpack it first"
    packed = next((p for end in _ARCHIVES if (p := Path(f"{root}{end}")).is_file()), None)
    return f"no folder {root}; expected {title} there (docs/datasets.md shows the folder)" + (
        f". Unpack {packed} first" if packed else ""
    )
