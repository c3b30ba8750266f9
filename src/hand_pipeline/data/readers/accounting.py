"""What a reader says of hands it leaves out and of photos that are not there."""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hand_pipeline.data.manifest import DataSetError

logger = logging.getLogger(__name__)


def log_left_out(dataset: str, split: str, total: int, left_out: Counter[str]) -> None:
    """One line in the log: how many of all hands are not used, and why."""
    reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.items() if count)
    message = f"{dataset} {split}: {left_out.total()} of {total} hands left out"
    logger.info("%s", f"{message}: {reasons}" if reasons else message)


def check_photos(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder in which photos are missing; it is listed once, not asked for each.

    Raises:
        DataSetError: how many are missing, and the first.
    """
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    wanted = dict.fromkeys(names)
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DataSetError(
            f"{folder} lacks {len(missing)} of the {len(wanted)} photos with hands, the first is "
            f"{missing[0]}; copy them there"
        )
