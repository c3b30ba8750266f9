"""Photos that COCO lists for a folder, such as the 123,403 of COCO 2017's unlabeled part.

    annotations/image_info_unlabeled2017.json    unlabeled2017/%012d.jpg
    annotations/instances_train2017.json         train2017/%012d.jpg

The unlabelled part has no hands in it to be read: the collection for pretraining looks for them,
and asks here whether the folder is whole.
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.coco_format import read_coco

LISTS = ("image_info_{folder}.json", "instances_{folder}.json", "captions_{folder}.json")
"""COCO's own files that list the photos of a folder, the smaller first; in `annotations`."""


class CocoListing(NamedTuple):
    """What COCO lists for a folder.

    Attributes:
        path: of the list.
        photos: listed and there, in the list's order.
        missing: file names that are listed, but not there.
    """

    path: Path
    photos: list[Path]
    missing: list[str]


def coco_listing(folder: Path) -> CocoListing | None:
    """Compare a folder of COCO's photos with COCO's list; None where no list lies beside it.

    Args:
        folder: such as `coco/unlabeled2017`; lists are looked for in `coco/annotations`.

    Raises:
        DataSetError: the list is cut short or not COCO's, it lists nothing, or none of its photos
            is in the folder.
    """
    names = (name.format(folder=folder.name) for name in LISTS)
    paths = (folder.parent / "annotations" / name for name in names)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    listed = read_coco(path, _nothing, "a COCO annotation file with a list of images").names
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    photos = [folder / name for name in listed.values() if name in there]
    if not photos:
        example = next(iter(listed.values()), "none at all")
        raise DataSetError(
            f"none of the {len(listed)} photos that {path} lists is in {folder}; "
            f"expected for example {example}"
        )
    return CocoListing(path, photos, [name for name in listed.values() if name not in there])


def _nothing(annotation: dict[str, Any]) -> None:
    """Annotations are not needed."""
