"""COCO-WholeBody (Jin et al. 2020, v1.0): the hands of COCO's people, 2D joints.

    annotations/coco_wholebody_{train,val}_v1.0.json    (or beside the photos' folders)
    train2017/%012d.jpg    val2017/%012d.jpg

An annotation is COCO's own with, among others, for both hands `lefthand_kpts` (x, y, v of 21
joints, OpenPose order), `lefthand_box` (left, top, width, height) and `lefthand_valid`. Hands not
clear enough for the annotators are marked invalid and hold zeros. v may be any number from 0: above
0 the joint is reliable. Pixels count from the photo's top left; whether from the corner or the
centre of its first pixel is not stated, and nothing is added. There is no camera.
"""

from collections import Counter
from pathlib import Path
from typing import Any

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.coco_format import (
    LabelledHand,
    hands_manifest,
    numbers_of,
    read_coco,
)
from hand_pipeline.geometry.mano import ManoHand

_SIDES = (("righthand", True), ("lefthand", False))


def read_coco_wholebody(root: Path, split: str, mano: ManoHand) -> HandManifest:
    """Every valid hand of COCO's people; both hands of a person are rows of their own.

    Boxes are the set's. `flags["score"]` has each joint's v. Hands of one photo are one group.

    Args:
        root: COCO's folder, with `train2017` and `val2017`.
        split: "train" or "val".
        mano: not used, the set has no 3D.

    Raises:
        DataSetError: the file or photos are missing, cut short, or not the set's.
    """
    name = f"coco_wholebody_{split}_v1.0.json"
    path = next((p for p in (root / "annotations" / name, root / name) if p.is_file()), None)
    path = path or root / "annotations" / name
    left_out: Counter[str] = Counter()
    people: Counter[int] = Counter()

    def keep(entry: dict[str, Any]) -> list[LabelledHand]:
        return _hands_of(entry, path, people, left_out)

    source = read_coco(path, keep, f"{name} of COCO-WholeBody in {root / 'annotations'}")
    return hands_manifest("coco_wholebody", split, root, source, f"{split}2017", left_out)


def _hands_of(
    entry: dict[str, Any], path: Path, people: Counter[int], left_out: Counter[str]
) -> list[LabelledHand]:
    """The valid hands of an annotation, right then left."""
    image = entry["image_id"]
    person = people[image]
    people[image] += 1
    hands = []
    for side, is_right in _SIDES:
        if f"{side}_valid" not in entry:
            raise DataSetError(
                f"{path}: annotation {entry.get('id')} has no {side}_valid; expected "
                "COCO-WholeBody's annotations, not COCO's own"
            )
        if not entry[f"{side}_valid"]:
            left_out["marked invalid"] += 1
            continue
        points = numbers_of(entry, f"{side}_kpts", (21, 3), path)
        box = numbers_of(entry, f"{side}_box", (4,), path)
        hands.append(LabelledHand(image, person, is_right, points, box))
    return hands
