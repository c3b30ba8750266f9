"""COCO's json: photos by number, people by annotation, and their hands as rows of a manifest."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import log_left_out


@dataclass(frozen=True)
class CocoFile:
    """What is needed of one annotation file.

    Attributes:
        path: of the file.
        names: file name of each photo, by its number.
        annotations: what the caller kept of each, in the file's order.
    """

    path: Path
    names: dict[int, str]
    annotations: list[Any]


class LabelledHand(NamedTuple):
    """One hand of one annotation, as it stands in the file.

    Attributes:
        image_id: number of its photo.
        person: which of the photo's annotations, from 0.
        is_right: side.
        keypoints: x, y, v of 21 joints, OpenPose order; v is 0 where a joint is not labelled.
        box: left, top, width, height; zero where the file has none.
    """

    image_id: int
    person: int
    is_right: bool
    keypoints: Shaped[np.ndarray, "21 3"]
    box: Shaped[np.ndarray, " 4"]


def read_coco(path: Path, keep: Callable[[dict[str, Any]], Any], expected: str) -> CocoFile:
    """Read an annotation file, keeping little of each annotation.

    COCO's files are hundreds of megabytes of text and, as Python objects, many times that, mostly
    outlines: each annotation is given to `keep` as soon as it is read, and then forgotten. In
    memory at once are the text and what is kept.

    Args:
        path: the json file.
        keep: what to remember of an annotation.
        expected: what the file and its folder should be, for the error.

    Raises:
        DataSetError: the file is missing, cut short, or not COCO's.
    """
    if not path.is_file():
        raise DataSetError(f"no {path}; expected {expected}")

    def slim(entry: dict[str, Any]) -> Any:
        if "image_id" in entry:
            return keep(entry)
        return (entry["id"], entry["file_name"]) if {"id", "file_name"} <= entry.keys() else entry

    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=slim)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataSetError(
            f"{path} is cut short or no JSON ({error}); copy it again (expected {expected})"
        ) from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataSetError(f"{path} has no list of images; expected {expected}")
    images = content["images"]
    odd = next((i for i, image in enumerate(images) if not isinstance(image, tuple)), None)
    if odd is not None:
        raise DataSetError(f"{path}: image {odd} lacks its id or file_name; expected {expected}")
    if not isinstance(annotations := content.get("annotations", []), list):
        kind = type(annotations).__name__
        raise DataSetError(f"{path}: annotations is {kind}, not a list; expected {expected}")
    return CocoFile(path, dict(images), annotations)


def numbers_of(
    entry: dict[str, Any], key: str, shape: tuple[int, ...], path: Path
) -> Float[np.ndarray, "..."]:
    """A flat list of an annotation as an array, such as x, y, v of all keypoints.

    Raises:
        DataSetError: it is not there, or no list of as many finite numbers.
    """
    values: Any = entry.get(key)
    count, is_list = math.prod(shape), isinstance(values, list)
    if is_list and len(values) == count and all(isinstance(v, int | float) for v in values):
        found = np.array(values, dtype=np.float64).reshape(shape)
        if np.isfinite(found).all():
            return found
        what = "not finite"
    elif key not in entry:
        what = "not there: is this the whole set's file? Download it again from its authors"
    else:
        what = f"a list of {len(values)}" if is_list else type(values).__name__
        what += ", some null or text" if is_list and len(values) == count else ""
    raise DataSetError(
        f"{path}: {key} of annotation {entry.get('id')} is {what}; expected {count} numbers"
    )


def hands_manifest(
    dataset: str,
    split: str,
    root: Path,
    source: CocoFile,
    folder: str,
    left_out: Counter[str],
    least_score: float = 0.0,
) -> HandManifest:
    """Hands with 2D joints as a manifest; their photos are not looked for.

    Args:
        dataset, split, root: see `HandManifest`.
        source: the file the hands are from. Of each annotation it kept a list of `LabelledHand`;
            these are the rows, in that order.
        folder: of the photos, relative to `root`.
        left_out: hands that were left out so far, by reason.
        least_score: joints with a v above 0 and not below this are labelled.

    Raises:
        DataSetError: no hand is left.
    """
    hands: list[LabelledHand] = [hand for kept in source.annotations for hand in kept]
    points = np.array([hand.keypoints for hand in hands]).reshape(-1, 21, 3)
    scores = points[..., 2]
    labelled = (scores > 0) & (scores >= least_score)
    pixels = np.where(labelled[..., None], points[..., :2], 0.0)
    boxes = _boxes(np.array([hand.box for hand in hands]).reshape(-1, 4), pixels, labelled)
    none, small = ~labelled.any(1), (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0.0) < 1
    total = len(hands) + left_out.total()
    unseen = f"no joint with a v of {least_score} or more" if least_score else "no labelled joint"
    left_out = left_out + Counter(
        {unseen: int(none.sum()), "box below a pixel": int((small & ~none).sum())}
    )
    rows = np.flatnonzero(~none & ~small)
    log_left_out(dataset, split, total, left_out)
    if not rows.size:
        why = ", ".join(f"{reason} ({count})" for reason, count in left_out.items() if count)
        raise DataSetError(
            f"{source.path}: none of the {total} hands of its {len(source.annotations)} "
            f"annotations is labelled{why and ': '}{why}; is it another file of the set?"
        )
    chosen = [hands[row] for row in rows.tolist()]
    names = [_name_of(source, hand.image_id) for hand in chosen]
    stems = [Path(name).stem for name in names]
    return build_manifest(
        dataset,
        split,
        root,
        ids=[
            f"{split}/{stem}/{hand.person}_{'r' if hand.is_right else 'l'}"
            for stem, hand in zip(stems, chosen)
        ],
        images=[f"{folder}/{name}" for name in names],
        groups=[f"{split}/{stem}" for stem in stems],
        is_right=np.array([hand.is_right for hand in chosen]),
        boxes=boxes[rows],
        joints_2d=pixels[rows],
        has_joints_2d=labelled[rows],
        flags={"score": scores[rows].astype(np.float32)},
    )


def _boxes(
    given: Float[np.ndarray, "hands 4"],
    pixels: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
) -> Float[np.ndarray, "hands 4"]:
    """The file's boxes as corners; where it has none, tight around the labelled joints."""
    corners = np.concatenate([given[:, :2], given[:, :2] + given[:, 2:]], axis=1)
    there = (given[:, 2:] > 0).all(1, keepdims=True)
    return np.where(there, corners, box_around(pixels, labelled))


def _name_of(source: CocoFile, image_id: int) -> str:
    if image_id not in source.names:
        raise DataSetError(
            f"{source.path}: an annotation belongs to image {image_id}, which is not in its list "
            "of images; copy the file again"
        )
    return source.names[image_id]
