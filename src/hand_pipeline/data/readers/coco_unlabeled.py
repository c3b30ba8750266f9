"""Photos that a COCO annotation file lists, such as the 123,403 of COCO 2017's unlabeled part.

    annotations/image_info_unlabeled2017.json    unlabeled2017/%012d.jpg

The unlabelled part has no hands in it to be read: the collection for pretraining looks for them.
"""

import logging
import os
from pathlib import Path
from typing import Any

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.coco_format import read_coco

logger = logging.getLogger(__name__)


def coco_images(json_path: Path, image_folder: Path) -> list[Path]:
    """The listed photos that are in the folder, in the file's order; the log has how many are not.

    Args:
        json_path: any COCO file with a list of images: image_info_unlabeled2017.json,
            instances_train2017.json, captions_train2017.json, ...
        image_folder: where the photos lie.

    Raises:
        DataSetError: the file is missing, cut short or not COCO's, it lists nothing, or none of its
            photos is in the folder.
    """
    listed = read_coco(json_path, _nothing, "a COCO annotation file with a list of images").names
    there = set(os.listdir(image_folder)) if image_folder.is_dir() else set()
    found = [image_folder / name for name in listed.values() if name in there]
    if not found:
        example = next(iter(listed.values()), "none at all")
        raise DataSetError(
            f"none of the {len(listed)} photos that {json_path} lists is in {image_folder}; "
            f"expected for example {example}"
        )
    missing = len(listed) - len(found)
    logger.log(
        logging.WARNING if missing else logging.INFO,
        "%s: %d of %d photos are missing in %s", json_path.name, missing, len(listed), image_folder,
    )  # fmt: skip
    return found


def _nothing(annotation: dict[str, Any]) -> None:
    """Annotations are not needed."""
