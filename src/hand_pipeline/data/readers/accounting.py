"""What a reader says of hands it leaves out, and the one rule for what a copy of a set lacks."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.shards.tar_members import is_member

GO_ON = "--partial on the command line, `partial: true` where a configuration names the set"

logger = logging.getLogger(__name__)


class AbsentError(DataSetError):
    """A copy lacks a part of what the set lists, and nobody said that the rest will do."""


def log_left_out(dataset: str, split: str, total: int, left_out: Mapping[str, int]) -> None:
    """One line in the log: how many of all hands are not used, and why; nothing if all are."""
    count = sum(left_out.values())
    if not count:
        return
    reasons = ", ".join(f"{reason} ({count})" for reason, count in left_out.items() if count)
    logger.info("%s %s: %d of %d hands left out: %s", dataset, split, count, total, reasons)


def settle_absent(
    where: Path, what: str, absent: Sequence[str], total: int, partial: bool, hint: str = ""
) -> None:
    """The rule for all sets: what a copy lacks is counted and named, and refused unless `partial`.

    Args:
        where: the folder or file.
        what: photos, subjects, ... as the message calls them.
        absent: names of those that are listed and not there.
        total: how many are listed.
        partial: go on with the rest; then it is a warning in the log, with `absent` as an attribute
            of the record. Without a rest it is refused all the same.
        hint: what may be the reason, and what to do.

    Raises:
        AbsentError: how many are absent, the first, and how to go on without them.
    """
    if not absent:
        return
    text = f"{where} lacks {len(absent)} of the {total} {what}, the first is {absent[0]}{hint}"
    if len(absent) >= total:
        raise AbsentError(f"{text}; nothing is left to go on with")
    if not partial:
        raise AbsentError(f"{text}. Copy them; or go on with the rest: {GO_ON}")
    logger.warning("%s: left out", text, extra={"absent": tuple(absent)})


def present(root: Path, names: Iterable[str]) -> set[str]:
    """Those of the files that exist; each folder is listed once, which is quick also for millions.

    Of a file in a tar (`data.shards.tar_members`) the tar is looked for.

    Deviation from asking for each file: on a file system that ignores case, a name in another case
    counts as missing, as it would be on the machine that trains.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        folders[os.path.dirname(_file_of(name))].append(name)
    found: set[str] = set()
    for folder, inside in folders.items():
        try:
            listed = set(os.listdir(root / folder))
        except OSError:  # no such folder, or not one that may be read: nothing in it is there
            continue
        found.update(name for name in inside if os.path.basename(_file_of(name)) in listed)
    return found


def with_photos(manifest: HandManifest, partial: bool, hint: str = "") -> HandManifest:
    """The hands whose photo is there, by the rule of `settle_absent`.

    Args:
        manifest: hands of all photos that the labels name.
        partial, hint: see there.
    """
    root, wanted = manifest.root, dict.fromkeys(manifest.images)
    there = present(root, wanted)
    if len(there) == len(wanted):
        return manifest
    absent = [name for name in wanted if name not in there]
    if not there and present(root.parent, absent[:1]):
        hint = f" (it is in {root.parent}: is that folder meant?)"
    settle_absent(root, "photos with hands", absent, len(wanted), partial, hint)
    return manifest.select([row for row, name in enumerate(manifest.images) if name in there])


def _file_of(name: str) -> str:
    return name.partition("::")[0] if "::" in name and is_member(name) else name
