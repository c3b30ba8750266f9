"""HInt (Pavlakos et al. 2024): hands in NewDays', EPIC-KITCHENS VISOR's and Ego4D's frames.

    HInt_annotation_partial/{TRAIN,VAL,TEST}_{newdays,epick,ego4d}_img/STEM_{l,r}.{jpg,json}
    HInt_annotation_partial/{VAL,TEST}_ego4d_seq/...

The side is in the file's name only. A JSON file is a list of one object: bbox [[x1, y1, x2, y2]],
keypoints 21 (x, y) in OpenPose order, existence and occlusion 21 of 0 or 1. The zip comes without
Ego4D's frames; once they are fetched the authors' script calls the folder HInt_annotation.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hand_pipeline.data.manifest import DataSetError, HandManifest, build_manifest
from hand_pipeline.data.readers.accounting import log_left_out
from hand_pipeline.data.readers.folders import list_files
from hand_pipeline.data.readers.json_records import load_json, numbers

FOLDERS = ("HInt_annotation", "HInt_annotation_partial")
_KITCHEN = re.compile(r"P\d+_\d+")  # EPIC's participant and video


class _Label(NamedTuple):
    """One file's content."""

    box: np.ndarray
    points: np.ndarray
    exists: np.ndarray
    occluded: np.ndarray


def read_hint(root: Path, split: str, mano: Any) -> HandManifest:
    """The hands of one part, full frames with 2D joints.

    Joints that exist (lie inside the frame), occluded or not, are labelled. `flags["existence"]`
    and `flags["occluded"]` (hands, 21) hold both marks as they are in the files; HInt's visible
    joints are `existence & ~occluded`. Boxes are the set's. A group is a video where the name
    tells it, else a frame.

    Hands without any joint in the frame are left out and counted in the log. Frames are not looked
    for.

    Args:
        root: `HInt_annotation_partial`, `HInt_annotation` or the folder around it.
        split: name of a part's folder, e.g. "TEST_newdays_img".
        mano: not used, nothing refers to a hand model.

    Raises:
        DataSetError: labels are missing, cut short or of another form.
    """
    folder = _folder(root, split)
    names = list_files(root / folder, r".+_[lr]\.(json|jpg)")
    paths = [root / folder / name for name in names if name.endswith(".json")]
    if not paths:
        raise DataSetError(
            f"no label files in {root / folder}; expected STEM_l.json or STEM_r.json"
        )
    labels = [_label(path) for path in paths]
    box, points, exists, occluded = (np.stack(part) for part in zip(*labels))
    kept = np.flatnonzero(exists.any(1))
    log_left_out("hint", split, len(paths), {"no joint": len(paths) - len(kept)})
    if not kept.size:
        raise DataSetError(f"no hand in {root / folder} has a joint inside its frame")
    stems = [paths[row].stem for row in kept]
    return build_manifest(
        "hint",
        split,
        root,
        ids=[f"{split}/{stem}" for stem in stems],
        images=[(folder / f"{stem}.jpg").as_posix() for stem in stems],
        groups=[_group(split, stem) for stem in stems],
        is_right=np.array([stem.endswith("_r") for stem in stems]),
        boxes=box[kept],
        joints_2d=points[kept],
        has_joints_2d=exists[kept],
        flags={"existence": exists[kept], "occluded": occluded[kept]},
    )


def _folder(root: Path, split: str) -> Path:
    """The part's folder, relative to the root."""
    for above in (Path(), *map(Path, FOLDERS)):
        if (root / above / split).is_dir():
            return above / split
    raise DataSetError(
        f"no folder {split} in {root}; expected HInt_annotation_partial.zip's content"
    )


def _label(path: Path) -> _Label:
    content = load_json(path)
    if not isinstance(content, list) or len(content) != 1:
        raise DataSetError(f"{path} should be a list of one object, one hand")
    record = content[0]
    where = str(path)
    box = numbers(record, "bbox", (1, 4), where)[0]
    if not (box[:2] < box[2:]).all():
        raise DataSetError(f"{where}: expected a box x1, y1, x2, y2, found {box.tolist()}")
    existence, occlusion = (numbers(record, k, (21,), where) for k in ("existence", "occlusion"))
    if not np.isin([existence, occlusion], [0, 1]).all():
        raise DataSetError(f"{where}: 'existence' and 'occlusion' should be 0 or 1")
    return _Label(box, numbers(record, "keypoints", (21, 2), where), existence == 1, occlusion == 1)


def _group(split: str, stem: str) -> str:
    """The video; the frame where its name has no video (NewDays' form of names is a guess)."""
    frame = stem[:-2]
    if "ego4d" in split:  # CLIP_ACTION_FRAME_TYPE_TYPE
        return f"ego4d/{frame.partition('_')[0]}"
    if "epick" in split:
        video = _KITCHEN.search(frame)
        return f"epick/{video.group() if video else frame}"
    video_name, found, _ = frame.partition("_frame")
    return f"newdays/{video_name if found and '_' in video_name else frame}"
