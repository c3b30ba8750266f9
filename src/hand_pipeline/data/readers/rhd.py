"""Rendered Hand Pose (Zimmermann and Brox 2017, RHD_published_v2): two hands of rendered people.

    training/anno_training.pickle        training/{color,mask,depth}/%05d.png
    evaluation/anno_evaluation.pickle    evaluation/{color,mask,depth}/%05d.png

The pickle is {number: {"uv_vis": (42, 3) pixels and 0 or 1, "xyz": (42, 3), "K": (3, 3)}}. Joints 0
to 20 are the left hand, 21 to 41 the right one, each the wrist and then every finger from its tip
to its base, thumb first. Metres, OpenCV camera frame; images of 320 px. A mask's values are 0
background, 1 person, 2 to 17 left hand, 18 to 33 right hand. Where pixels begin is not stated:
nothing is added. There are no MANO labels.
"""

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import log_left_out, present, settle_absent
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

_ORDER = list(permutation("rhd", "openpose"))
_SHAPES = {"uv_vis": (42, 3), "xyz": (42, 3), "K": (3, 3)}
_MASK_LEFT, _MASK_RIGHT = (2, 17), (18, 33)


def read_rhd(
    root: Path, split: str, mano: ManoHand, hands: Literal["both", "dominant"] = "both"
) -> HandManifest:
    """The hands with at least one visible joint, each a row of its own.

    2D joints are labelled where they are visible, 3D joints always: the renderer knows them. Boxes
    are tight around all 21 joints, also hidden ones, so that a hand with few visible joints is not
    cut to those; they may reach out of the image. Groups are images: the release does not name
    the characters.

    Deviation: the authors' reader takes one hand an image, the one with the larger mask; that is
    `hands="dominant"`, which opens every mask.

    Args:
        root: folder with `training` and `evaluation`.
        split: "training" or "evaluation".
        mano: not used, the set has no MANO labels.
        hands: "both", or of each image the one that covers more of it (left if equal).

    Raises:
        DataSetError: the pickle is missing, damaged or not the set's, or images are missing.
    """
    path = root / split / f"anno_{split}.pickle"
    numbers, labels = _read_labels(path)
    marked = labels["uv_vis"].reshape(-1, 2, 21, 3)[:, ::-1]  # right, left
    points = labels["xyz"].reshape(-1, 2, 21, 3)[:, ::-1]
    seen = (marked[..., 2] == 1).any(2)
    used = seen & _dominant(root / split, numbers) if hands == "dominant" else seen
    hidden = Counter({"no visible joint": int((~seen).sum())})
    smaller = Counter({"the smaller hand": int((seen & ~used).sum())})
    log_left_out("rhd", split, 2 * len(numbers), hidden + smaller)
    pictures, sides = np.nonzero(used)
    pixels, has_pixels = marked[used][:, _ORDER, :2], marked[used][:, _ORDER, 2] == 1
    names = [f"{split}/{numbers[row]:05d}" for row in pictures.tolist()]
    return build_manifest(
        "rhd",
        split,
        root,
        ids=[f"{name}_{'rl'[side]}" for name, side in zip(names, sides.tolist())],
        images=[f"{split}/color/{numbers[row]:05d}.png" for row in pictures.tolist()],
        groups=names,
        is_right=sides == 0,
        boxes=box_around(pixels),
        intrinsics=labels["K"][pictures],
        joints_2d=np.where(has_pixels[..., None], pixels, 0.0),
        has_joints_2d=has_pixels,
        joints_3d=points[used][:, _ORDER],
    )


def _read_labels(path: Path) -> tuple[list[int], dict[str, np.ndarray]]:
    """Numbers of the images, in order, and each kind of label, one row an image."""
    if not path.is_file():
        raise DataSetError(f"no {path}; expected the folder RHD_published_v2")
    try:
        content = read_pickle(path)
    except ValueError as error:  # damaged or unsafe: the message says which
        raise DataSetError(str(error)) from error
    if not isinstance(content, dict) or not content:
        raise DataSetError(f"{path} holds no images' labels; expected RHD's own {path.name}")
    numbers = sorted(content)
    labels: dict[str, np.ndarray] = {}
    for name, shape in _SHAPES.items():
        rows = [_array(content[number], name, shape, number, path) for number in numbers]
        labels[name] = np.array(rows)
    return numbers, labels


def _array(
    entry: Any, name: str, shape: tuple[int, ...], number: int, path: Path
) -> Float[np.ndarray, "..."]:
    found = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(found, np.ndarray) or found.shape != shape:
        what = "none" if found is None else str(getattr(found, "shape", type(found).__name__))
        raise DataSetError(f"{path}: image {number} has {name} {what}, expected {shape}")
    return found.astype(np.float64)


def _dominant(folder: Path, numbers: list[int]) -> Bool[np.ndarray, "images 2"]:
    """Whether the right, the left hand is the one that covers more of the image, where it is."""
    names = [f"{number:05d}.png" for number in numbers]
    there, masks = present(folder / "color", names), present(folder / "mask", names)
    absent = [f"mask/{name}" for name in names if name in there and name not in masks]
    settle_absent(folder, "masks, by which the dominant hand is told", absent, len(names), False)
    right = np.array([name in there and _right_is_larger(folder / "mask" / name) for name in names])
    return np.stack([right, ~right], axis=1)


def _right_is_larger(path: Path) -> bool:
    with Image.open(path) as picture:
        mask = np.asarray(picture)
    left, right = (
        np.count_nonzero((mask >= first) & (mask <= last))
        for first, last in (_MASK_LEFT, _MASK_RIGHT)
    )
    return bool(right > left)
