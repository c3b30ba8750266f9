"""YouTube3DHands (Kulon et al. 2020): meshes in pixels, fitted to frames of public videos.

    youtube_{train,val,test}.json: images {name, width, height, id}, annotations {vertices 778 x 3,
    is_left, image_id, id}; frames at youtube/VIDEO/video/frames/NUMBER.png, as `name` says

A vertex is (u, v, d): pixels, and a depth in units of pixels, `d = z std(u) / std(x)`. So the
labels are 2.5-D: no camera, no metres, no MANO numbers.
"""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image

from hand_pipeline.data.manifest import (
    DataSetError,
    HandManifest,
    box_around,
    build_manifest,
)
from hand_pipeline.data.readers.accounting import log_left_out
from hand_pipeline.data.readers.json_records import field, numbers, stream_records
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import TIP_VERTICES, ManoHand

_SAME_SHAPE = 0.01  # of width over height; rounding to whole px gives less
_LONGEST_EDGES = 0.1  # of the hand's extent; 0.03 to 0.05 as it should be, 0.3 if not


class _Frame(NamedTuple):
    """A frame as the label file knows it."""

    name: str
    width: float
    height: float


class _Hands(NamedTuple):
    """Annotations, one row a hand."""

    ids: list[str]
    image_ids: list[int]
    is_left: list[bool]
    vertices: list[np.ndarray]


def read_youtube3d(root: Path, split: str, mano: ManoHand) -> HandManifest:
    """The hands of one split, with 2D joints regressed from the vertices' pixels.

    `flags["vertices_px"]` (hands, 778, 3) are the vertices in pixels of the frame as it lies on the
    disk. A frame of another resolution than the label file's (the videos are downloaded anew today,
    in whatever size is offered) rescales its labels, u and d by the width, v by the height. Boxes
    are tight around the vertices. A group is a video.

    Hands are left out, and counted in the log, if their frame cannot be opened or is of another
    shape (sides' ratio differs by over 1 %: cropped or with bars). Labels of a frame that is not
    there are taken as they are.

    Left hands' vertices are taken to be numbered as right ones' are (MANO's own are; the authors
    do not say).

    Memory: 9.3 kB a hand, 0.44 GB for the training split's vertices and twice that for a moment;
    the label file itself (gigabytes) is read one hand at a time.

    Args:
        root: folder with `youtube_train.json` and the folder `youtube`.
        split: "train", "val" or "test".
        mano: MANO's right hand. The open hand, whose vertices are numbered otherwise, fits only
            made-up sets.

    Raises:
        DataSetError: labels are missing, cut short or of another form, no frame is of use, or the
            vertices are not `mano`'s.
    """
    path = root / f"youtube_{split}.json"
    frames, hands = _read(path)
    sizes = {key: _size(root / frame.name) for key, frame in frames.items()}
    reasons: Counter[str] = Counter()
    kept = []
    for row, key in enumerate(hands.image_ids):
        if key not in frames:
            raise DataSetError(f"{path}: annotation {hands.ids[row]} is of image {key}, not listed")
        reason = _why_not(frames[key], sizes[key])
        reasons[reason] += 1
        if not reason:
            kept.append(row)
    del reasons[""]
    log_left_out("youtube3d", split, len(hands.ids), reasons)
    if not kept:
        first = next(iter(frames.values())).name if frames else "none listed"
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        raise DataSetError(
            f"no hand of {path} can be used: {why or 'no annotation'}. Expected the videos' frames "
            f"below {root}, the first at {first}"
        )
    keys = [hands.image_ids[row] for row in kept]
    vertices = np.stack([hands.vertices[row] for row in kept])
    vertices *= np.array([_factors(frames[key], sizes[key]) for key in keys], np.float32)[:, None]
    _check_numbering(vertices, mano, path)
    return build_manifest(
        "youtube3d",
        split,
        root,
        ids=[f"{split}/{hands.ids[row]}" for row in kept],
        images=[frames[key].name for key in keys],
        groups=[frames[key].name.partition("/video/")[0] for key in keys],
        is_right=~np.array([hands.is_left[row] for row in kept]),
        boxes=box_around(vertices[..., :2]),
        joints_2d=regressed_joints(vertices[..., :2], mano),
        flags={"vertices_px": vertices},
    )


def regressed_joints(
    vertices: Float[np.ndarray, "hands 778 dims"], mano: ManoHand
) -> Float[np.ndarray, "hands 21 dims"]:
    """OpenPose joints of meshes in any linear units: 16 regressed, 5 tips are vertices.

    In bent fingers a posed mesh's regressed joints lie some mm off the skeleton's own.
    """
    inner = np.matmul(mano.joint_regressor.cpu().numpy(), vertices)
    tips = vertices[:, list(TIP_VERTICES["mano"])]
    joints: np.ndarray = np.concatenate([inner, tips], axis=1)
    return joints[:, list(permutation("mano", "openpose"))]


def _read(path: Path) -> tuple[dict[int, _Frame], _Hands]:
    frames: dict[int, _Frame] = {}
    hands = _Hands([], [], [], [])
    for key, record in stream_records(path, ("images", "annotations")):
        where = f"{path}, {key}, record {len(frames if key == 'images' else hands.ids)}"
        if key == "images":
            name, width, height, number = (
                field(record, k, where) for k in ("name", "width", "height", "id")
            )
            frames[number] = _Frame(str(name), float(width), float(height))
            continue
        hands.ids.append(str(field(record, "id", where)))
        hands.image_ids.append(field(record, "image_id", where))
        hands.is_left.append(bool(field(record, "is_left", where)))
        hands.vertices.append(numbers(record, "vertices", (778, 3), where).astype(np.float32))
    return frames, hands


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height, (0, 0) if it is no image, None if it is not there."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except FileNotFoundError:
        return None
    except OSError:
        return 0, 0


def _why_not(frame: _Frame, size: tuple[int, int] | None) -> str:
    """Why a frame cannot be used, empty if it can."""
    if size is None:
        return ""
    if not all(size):
        return "frame unreadable"
    ratio = size[0] / size[1] / (frame.width / frame.height)
    return "" if abs(ratio - 1) <= _SAME_SHAPE else "frame of another shape"


def _factors(frame: _Frame, size: tuple[int, int] | None) -> tuple[float, float, float]:
    width, height = size or (frame.width, frame.height)
    return width / frame.width, height / frame.height, width / frame.width


def _check_numbering(
    vertices: Float[np.ndarray, "hands 778 3"], mano: ManoHand, path: Path
) -> None:
    """Edges are short where vertices and faces belong together, else as long as the hand."""
    edges: Int[np.ndarray, "edges 2"] = mano.faces[:, :2].cpu().numpy()
    some = vertices[:: max(1, len(vertices) // 100), :, :2]
    lengths = np.linalg.norm(some[:, edges[:, 0]] - some[:, edges[:, 1]], axis=-1).mean(1)
    extent = (some.max(1) - some.min(1)).max(1)
    if (share := float(np.median(lengths / np.maximum(extent, 1e-6)))) > _LONGEST_EDGES:
        raise DataSetError(
            f"the vertices of {path} are not numbered as the hand model's: neighbours lie "
            f"{share:.0%} of the hand apart. Real sets need MANO's own file (`python -m "
            "hand_pipeline mano convert`), the open hand fits made-up sets only"
        )
