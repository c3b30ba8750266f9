"""Is a copy of a data set whole, and do its labels mean what the reader takes them for?"""

import logging
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Int

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.check_labels import LabelCheck, check_labels
from hand_pipeline.data.readers.check_photos import Extent, PhotoCheck, check_photos
from hand_pipeline.data.readers.folders import check_root, splits_in
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.geometry.mano import ManoHand

logger = logging.getLogger(__name__)

SAME_FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "dexycb": ("s0_train", "s0_val", "s0_test"),
        "mpii_nzsl": tuple(s for s in HAND_SETS["mpii_nzsl"].splits if s != "synth"),
    }
)
"""Of modules whose splits cut the same files in several ways: those that cover each file once. The
others are read only when asked for by name."""

_STUMBLES = (OSError, ValueError, LookupError, TypeError, EOFError, ArithmeticError,
             zipfile.BadZipFile, pickle.UnpicklingError)  # fmt: skip
_OPENED = 200  # photos of a split opened as a sample
_POSED = 512  # hands whose MANO numbers are tried


@dataclass(frozen=True)
class SplitCheck:
    """What was found in one split.

    Attributes:
        split: its name.
        published: hands in the published set; None where nobody states the number.
        manifest: the hands; None if they cannot be read.
        sample: rows in random order, to draw from.
        photos, labels: the figures; None where not looked at.
        absent: photos and other parts that the set lists and the copy lacks, by what is said of
            them; faults, unless a part of the set will do.
        faults: what else is wrong, in words.
        notes: what could not be checked, or is odd but no fault.
    """

    split: str
    published: int | None
    manifest: HandManifest | None
    sample: Int[np.ndarray, " sampled"]
    photos: PhotoCheck | None
    labels: LabelCheck | None
    absent: Mapping[str, tuple[str, ...]]
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether there are other than the published number of hands.

        That is no fault: who copied a part of a set knows it.
        """
        known = self.manifest is not None and self.published is not None
        return known and len(self.manifest or ()) != self.published


def find_splits(name: str, root: Path) -> list[str]:
    """Those splits of a data set of which anything lies in a folder.

    Raises:
        DataSetError: an unknown set, no such folder, or nothing of the set in it.
    """
    if name not in HAND_SETS:
        raise DataSetError(f"unknown data set {name!r}; known: {', '.join(HAND_SETS)}")
    known = HAND_SETS[name]
    check_root(root, known.module, known.title, known.splits)
    return splits_in(root, known.module, SAME_FILES.get(known.module, known.splits))


def check_split(
    name: str,
    root: Path,
    split: str,
    mano: ManoHand,
    mano_is_given: bool = False,
    extent: Extent = "sample",
    sample: int = 8,
) -> SplitCheck:
    """Read a split and check its photos and labels; nothing that is broken in it is an exception.

    Args:
        name: key of `HAND_SETS`.
        root: the set's folder.
        split: one of the set's splits.
        mano: the right hand, with the set's fingertips.
        mano_is_given: whether it is a licensed model; see `check_labels`.
        extent: how many photos are opened.
        sample: hands that will be drawn: their photos are among those opened.
    """
    published = HAND_SETS[name].splits.get(split)
    try:
        with _heard() as said:
            manifest = read_hands(name, root, split, mano, partial=True)
    except DataSetError as error:
        return _unread(split, published, str(error))
    except _STUMBLES as error:  # a reader should say what is wrong; if not, it still ends here
        logger.debug("reading %s %s", name, split, exc_info=True)
        return _unread(split, published, f"the reader stumbled: {type(error).__name__}: {error}")
    order = np.random.default_rng(0).permutation(len(manifest))
    opened = order[: max(sample, _OPENED)]
    photos = check_photos(manifest, opened.tolist(), extent)
    sizes = photos.sizes if photos else {}
    labels = check_labels(manifest, mano, mano_is_given, sizes, np.sort(order[:_POSED]))
    absent = {line.getMessage(): getattr(line, "absent", ()) for line in said}
    return SplitCheck(
        split, published, manifest, opened, photos, labels,
        absent={line: names for line, names in absent.items() if names},
        faults=(*_photo_faults(photos), *labels.faults),
        notes=(*(line for line, names in absent.items() if not names), *labels.notes),
    )  # fmt: skip


@contextmanager
def _heard() -> Iterator[list[logging.LogRecord]]:
    """What readers log meanwhile: how many hands they leave out, and why."""
    lines: list[logging.LogRecord] = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lines.append  # type: ignore[assignment,method-assign]
    readers = logging.getLogger("hand_pipeline.data")
    former = readers.level
    readers.addHandler(handler)
    readers.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        readers.removeHandler(handler)
        readers.setLevel(former)


def _unread(split: str, published: int | None, why: str) -> SplitCheck:
    nothing = np.zeros(0, dtype=np.int64)
    why = f"cannot be read: {why}"
    return SplitCheck(split, published, None, nothing, None, None, {}, (why,), ())


def _photo_faults(photos: PhotoCheck | None) -> list[str]:
    if photos is None or not photos.unreadable:
        return []
    name, why = next(iter(photos.unreadable.items()))
    return [
        f"{len(photos.unreadable)} of {photos.opened} opened photos cannot be read, the first "
        f"is {name} ({why})"
    ]
