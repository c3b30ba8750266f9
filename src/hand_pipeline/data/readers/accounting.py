"""What a reader says of hands it leaves out and of photos that are not there."""

import logging
import os
from collections.abc import Mapping, Sequence
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


def check_photos(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which photos are missing; each folder is listed once.

    Args:
        folder: of the photos.
        names: of the photos, relative to it; may name sub-folders, and a photo more than once.

    Raises:
        DataSetError: how many are missing, and the first.
    """
    wanted = dict.fromkeys(names)
    there = {
        f"{above}/{name}" if above else name
        for above in {name.rpartition("/")[0] for name in wanted}
        if (folder / above).is_dir()
        for name in os.listdir(folder / above)
    }
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DataSetError(
            f"{folder} lacks {len(missing)} of the {len(wanted)} photos with hands, the first is "
            f"{missing[0]}; copy them there"
        )
