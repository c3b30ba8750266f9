"""Halpe-FullBody (Fang et al.): hands of people in HICO-DET's and COCO's photos, 2D joints.

    annotations/halpe_train_v1.json    hico_20160224_det/images/train2015/HICO_train2015_%08d.jpg
    annotations/halpe_val_v1.json      val2017/%012d.jpg

COCO's format with 136 `keypoints`, x, y, v flat: 94 to 114 are the left hand, 115 to 135 the right
one, OpenPose order. The annotations that hold no list of keypoints describe objects and actions. v
is a score. There are no boxes of hands, no camera, and no word on where pixels begin: nothing is
added.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.data.readers.coco_format import (
    LabelledHand,
    hands_manifest,
    numbers_of,
    read_coco,
)
from hand_pipeline.geometry.mano import ManoHand

_POINTS = 136
_HANDS = ((115, True), (94, False))  # first joint, is it the right hand
_FOLDERS = {"train": "hico_20160224_det/images/train2015", "val": "val2017"}
LEAST_SCORE = 0.35  # below it the authors' AlphaPose takes a joint for not labelled


def read_halpe(
    root: Path, split: str, mano: ManoHand, least_score: float = LEAST_SCORE
) -> HandManifest:
    """Every hand with a labelled joint; both hands of a person are rows of their own.

    Boxes are tight around the labelled joints: the set has none. `flags["score"]` has each joint's
    v. Hands of one photo are one group.

    Args:
        root: folder with `annotations` and the photos' folders.
        split: "train" or "val".
        mano: not used, the set has no 3D.
        least_score: joints with a v below this, or of 0, are not labelled.

    Raises:
        DataSetError: the file or photos are missing, cut short, or not the set's.
    """
    path = root / "annotations" / f"halpe_{split}_v1.json"
    people: Counter[int] = Counter()

    def keep(entry: dict[str, Any]) -> list[LabelledHand]:
        return _hands_of(entry, path, people)

    source = read_coco(path, keep, f"Halpe-FullBody's {path.name} in {path.parent}")
    return hands_manifest("halpe", split, root, source, _FOLDERS[split], Counter(), least_score)


def _hands_of(entry: dict[str, Any], path: Path, people: Counter[int]) -> list[LabelledHand]:
    """Both hands of an annotation, right then left; none if it is no person's."""
    if not isinstance(entry.get("keypoints"), list):
        return []
    image = entry["image_id"]
    person = people[image]
    people[image] += 1
    points = numbers_of(entry, "keypoints", (_POINTS, 3), path)
    return [
        LabelledHand(image, person, is_right, points[first : first + 21].copy(), np.zeros(4))
        for first, is_right in _HANDS
    ]
