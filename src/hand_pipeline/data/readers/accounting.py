"""What a reader says of hands it leaves out and of photos that are not there."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hand_pipeline.data.manifest import DataSetError

logger = logging.getLogger(__name__)


def log_left_out(dataset: str, split: str, total: int, left_out: Mapping[str, int]) -> None:
    """One line in the log: how many of all hands are not used, and why; nothing if all are."""
    count = sum(left_out.values())
    if not count:
        return
    reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.items() if count)
    logger.info("%s %s: %d of %d hands left out: %s", dataset, split, count, total, reasons)


def present(root: Path, names: Iterable[str]) -> set[str]:
    """Those of the files that exist; each folder is listed once, which is quick also for millions.

    Deviation from asking for each file: on a file system that ignores case, a name in another case
    counts as missing, as it would be on the machine that trains.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        folders[os.path.dirname(name)].append(name)
    found: set[str] = set()
    for folder, inside in folders.items():
        try:
            listed = set(os.listdir(root / folder))
        except OSError:  # no such folder, or not one that may be read: nothing in it is there
            continue
        found.update(name for name in inside if os.path.basename(name) in listed)
    return found


def check_photos(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which photos are missing; each folder is listed once.

    Args:
        folder: of the photos.
        names: of the photos, relative to it; may name sub-folders, and a photo more than once.

    Raises:
        DataSetError: how many are missing, and the first.
    """
    wanted = dict.fromkeys(names)
    there = present(folder, wanted)
    if missing := [name for name in wanted if name not in there]:
        raise DataSetError(
            f"{folder} lacks {len(missing)} of the {len(wanted)} photos with hands, the first is "
            f"{missing[0]}; copy them there"
        )
