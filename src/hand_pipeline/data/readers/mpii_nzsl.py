"""Panoptic HandDB (Simon et al. 2017): MPII and NZSL photos, rendered hands, the dome's hands.

    hand_labels/manual_train/NAME_{l,r}.{jpg,json}    hand_labels/manual_test/...
    hand_labels_synth/synth{1,2,3,4}/NAME.{jpg,json}
    hand143_panopticdb/hands_v143_14817.json          hand143_panopticdb/imgs/%08d.jpg

2D joints of full photos in OpenPose order, (x, y, v), labelled where v is 1. HaMeR's "mpiinzsl" is
`manual_train` and all of the rendered hands, less some.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from hand_pipeline.data.manifest import (
    DataSetError,
    HandManifest,
    box_around,
    build_manifest,
)
from hand_pipeline.data.readers.accounting import log_left_out
from hand_pipeline.data.readers.folders import list_files
from hand_pipeline.data.readers.json_records import field, load_json, numbers

DOME_LABELS = "hand143_panopticdb/hands_v143_14817.json"
SYNTH = ("synth1", "synth2", "synth3", "synth4")
_FOLDERS = {
    "manual_train": ("hand_labels/manual_train",),
    "manual_test": ("hand_labels/manual_test",),
    **{name: (f"hand_labels_synth/{name}",) for name in SYNTH},
    "synth": tuple(f"hand_labels_synth/{name}" for name in SYNTH),
}
_EVALUATION_BOX = 2.2  # side, larger extents of the hand: the authors'


def read_mpii_nzsl(root: Path, split: str, mano: Any) -> HandManifest:
    """The hands of one part, full photos with 2D joints only.

    Boxes are tight around the labelled joints. `flags["evaluation_box"]` is the authors' square
    (around `hand_box_center`, 2.2 larger extents wide) and `flags["head_size"]` the length that
    their PCKh divides by, px, 0 where the file has none (all but MPII's photos). Hands of one MPII
    photo share a group. The dome's hands are taken as right ones, as everybody does: their file
    does not say. Which frames of it show one person is not published either.

    Args:
        root: folder with `hand_labels`, `hand_labels_synth` or `hand143_panopticdb`.
        split: "manual_train", "manual_test", "synth1" to "synth4", "synth" (these four), or
            "hand143".
        mano: not used, nothing refers to a hand model.

    Raises:
        DataSetError: labels or photos are missing, cut short or of another form.
    """
    records = _dome_records(root) if split == "hand143" else _paired_records(root, split)
    images = [image for image, _, _ in records]
    points = np.stack([points for _, points, _ in records])
    valid = points[..., 2] == 1
    boxes = box_around(points[..., :2], valid)
    side = (boxes[:, 2:] - boxes[:, :2]).max(1)
    reasons = Counter(
        {
            "no labelled joint": int((~valid.any(1)).sum()),
            "box of less than a pixel": int((valid.any(1) & (side < 1)).sum()),
        }
    )
    log_left_out("mpii_nzsl", split, len(points), reasons)
    kept = np.flatnonzero(~(side < 1))  # what is not finite is kept: the manifest refuses it
    if not kept.size:
        raise DataSetError(f"no hand of {root}, {split}, has a labelled joint (v = 1)")
    more = [records[row][2] for row in kept]
    centres = np.stack([entry.get("centre", _middle(boxes[row])) for row, entry in zip(kept, more)])
    reach = _EVALUATION_BOX / 2 * side[kept, None]
    return build_manifest(
        "mpii_nzsl",
        split,
        root,
        ids=[images[row].rpartition(".")[0] for row in kept],
        images=[images[row] for row in kept],
        groups=[entry["group"] for entry in more],
        is_right=np.array([entry["is_right"] for entry in more]),
        boxes=boxes[kept],
        joints_2d=points[kept, :, :2],
        has_joints_2d=valid[kept],
        flags={
            "evaluation_box": np.concatenate([centres - reach, centres + reach], 1, dtype="f4"),
            "head_size": np.array([entry["head_size"] for entry in more], dtype="f4"),
        },
    )


_Record = tuple[str, np.ndarray, dict[str, Any]]
"""Photo relative to the root, 21 times (x, y, v), and what else is known of the hand."""


def _paired_records(root: Path, split: str) -> list[_Record]:
    """The manual and rendered parts: a JSON file beside each photo."""
    found = []
    for folder in _FOLDERS[split]:
        names = list_files(root / folder, r".+\.(json|jpg)")
        paths = [root / folder / name for name in names if name.endswith(".json")]
        if not paths:
            raise DataSetError(
                f"no label files in {root / folder}; expected NAME.json beside NAME.jpg, as "
                f"{folder.partition('/')[0]}.zip of Panoptic HandDB has them"
            )
        found += [_paired_record(path, folder) for path in paths]
    return found


def _paired_record(path: Path, folder: str) -> _Record:
    record = load_json(path)
    points = _points(record, "hand_pts", str(path))
    more: dict[str, Any] = {"is_right": not field(record, "is_left", str(path)), "head_size": 0.0}
    if "hand_box_center" in record:
        more["centre"] = numbers(record, "hand_box_center", (2,), str(path))
    if "head_size" in record:
        more["head_size"] = float(numbers(record, "head_size", (), str(path)))
    stem = path.stem.removesuffix("_l").removesuffix("_r")
    more["group"] = str(record.get("mpii_image", f"{folder}/{stem}"))
    return f"{folder}/{path.stem}.jpg", points, more


def _points(record: Any, key: str, where: str) -> np.ndarray:
    """21 times (x, y, v); a v that is no number would pass for a joint that is not labelled."""
    points = numbers(record, key, (21, 3), where)
    if not np.isfinite(points[:, 2]).all():
        raise DataSetError(f"{where}: some v of {key!r} are not finite")
    return points


def _dome_records(root: Path) -> list[_Record]:
    """hand143: one file for all."""
    path = root / DOME_LABELS
    folder = DOME_LABELS.partition("/")[0]
    found = []
    records = field(load_json(path), "root", str(path))
    for row, record in enumerate(records if isinstance(records, list) else []):
        where = f"{path}, record {row}"
        points = _points(record, "joint_self", where)
        image = f"{folder}/{field(record, 'img_paths', where)}"
        found.append((image, points, {"is_right": True, "head_size": 0.0, "group": image}))
    if not found:
        raise DataSetError(f"{path} has no record; copy it again")
    return found


def _middle(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2
