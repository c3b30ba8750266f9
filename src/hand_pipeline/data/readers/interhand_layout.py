"""InterHand2.6M's annotation files as arrays; `interhand` makes hands of them."""

import array
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.json_records import load_json, stream_records
from hand_pipeline.geometry.joints import permutation

_SIDES = {"right": ("right",), "left": ("left",), "interacting": ("right", "left")}
_LOG = logging.getLogger(__name__)


class Cameras(NamedTuple):
    """Of all captures: `x_camera = rotation (x_world - position)`, metres."""

    rows: dict[tuple[str, str], int]
    rotation: Float[np.ndarray, "cameras 3 3"]
    position: Float[np.ndarray, "cameras 3"]
    intrinsics: Float[np.ndarray, "cameras 3 3"]


class Frames(NamedTuple):
    """Of all captures, world frame, metres, OpenPose order; axis 1: right hand, left hand."""

    rows: dict[tuple[str, str], int]
    joints: Float[np.ndarray, "frames 2 21 3"]
    valid: Bool[np.ndarray, "frames 2 21"]
    pose: Float[np.ndarray, "frames 2 48"]
    betas: Float[np.ndarray, "frames 2 10"]
    translation: Float[np.ndarray, "frames 2 3"]
    has_mano: Bool[np.ndarray, "frames 2"]


@dataclass(frozen=True)
class Hands:
    """Each hand of each photo: names, where its labels are, and what only its photo has."""

    names: list[str]
    groups: list[str]
    camera: Int[np.ndarray, " hands"]
    frame: Int[np.ndarray, " hands"]
    side: Int[np.ndarray, " hands"]
    valid: Bool[np.ndarray, "hands 21"]
    boxes: Float[np.ndarray, "hands 4"]
    interacting: Bool[np.ndarray, " hands"]
    hand_type_valid: Bool[np.ndarray, " hands"]


def annotation_files(root: Path, split: str) -> dict[str, Path]:
    """The annotation files that are there, by what they hold.

    Without the MANO file, which comes in an archive of its own, a warning is logged.

    Raises:
        DataSetError: the folder is not InterHand2.6M's.
    """
    folders = [root / "annotations" / name for name in (split, "all")]
    folder = next((f for f in folders if (f / _name(split, "data")).is_file()), None)
    if folder is None:
        raise DataSetError(
            f"no {folders[0] / _name(split, 'data')}; expected InterHand2.6M's folder, with images "
            "and annotations as its page's archives unpack"
        )
    files = {kind: folder / _name(split, kind) for kind in ("data", "camera", "joint_3d")}
    fits = folder / _name(split, "MANO_NeuralAnnot")
    if not fits.is_file():
        _LOG.warning("no %s: InterHand2.6M's hands are read without MANO labels", fits)
        return files
    return files | {"MANO_NeuralAnnot": fits}


def _name(split: str, kind: str) -> str:
    return f"InterHand2.6M_{split}_{kind}.json"


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Records without an entry, or with one of another form, as one error that names the file."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, DataSetError):
            raise
        raise DataSetError(
            f"{path} is not what InterHand2.6M v1.0 has there ({type(error).__name__}: {error}); "
            "copy all annotation files of one release again"
        ) from error


def read_cameras(path: Path) -> Cameras:
    """The cameras of all captures."""
    with _explained(path):
        return _cameras_of(load_json(path))


def _cameras_of(content: Mapping[str, Any]) -> Cameras:
    keys = [(capture, name) for capture, of in content.items() for name in of["campos"]]
    table = {
        kind: np.array([content[capture][kind][name] for capture, name in keys], np.float64)
        for kind in ("campos", "camrot", "focal", "princpt")
    }
    intrinsics = np.tile(np.eye(3), (len(keys), 1, 1))
    intrinsics[:, [0, 1], [0, 1]] = table["focal"].reshape(-1, 2)
    intrinsics[:, :2, 2] = table["princpt"].reshape(-1, 2)
    return Cameras(
        {key: row for row, key in enumerate(keys)},
        table["camrot"].reshape(-1, 3, 3),
        table["campos"].reshape(-1, 3) / 1000,
        intrinsics,
    )


def read_frames(path: Path, fits: Path | None) -> Frames:
    """Joints of all captures' frames, and MANO's fits (None: there are none)."""
    with _explained(path):
        content = load_json(path)
        keys = [(capture, number) for capture, of in content.items() for number in of]
        records = [content[capture][number] for capture, number in keys]
        joints = np.array([record["world_coord"] for record in records], np.float64)
        valid = np.array([record["joint_valid"] for record in records], bool)
        order = list(permutation("interhand", "openpose"))
        joints = joints.reshape(len(keys), 2, 21, 3)[:, :, order] / 1000
        valid = valid.reshape(len(keys), 2, 21)[:, :, order]
        del content, records
    with _explained(fits or path):
        fitted = {} if fits is None else load_json(fits)
        mano, has_mano = _fits_of(fitted, keys)
    if fits is not None:
        _check_fits(fitted, int(has_mano.sum()), fits, path)
    return Frames(
        {key: row for row, key in enumerate(keys)},
        joints,
        valid,
        mano["pose"],
        mano["shape"],
        mano["trans"],
        has_mano,
    )


def _fits_of(
    content: Mapping[str, Any], keys: list[tuple[str, str]]
) -> tuple[dict[str, np.ndarray], Bool[np.ndarray, "frames 2"]]:
    """MANO's numbers, zero where a frame has none or a hand's are null."""
    hands = [
        (content.get(capture, {}).get(number) or {}).get(side)
        for capture, number in keys
        for side in ("right", "left")
    ]
    none = {"pose": [0.0] * 48, "shape": [0.0] * 10, "trans": [0.0] * 3}
    numbers = {
        name: np.array([np.ravel((hand or none)[name]) for hand in hands], np.float64).reshape(
            len(keys), 2, len(zeros)
        )
        for name, zeros in none.items()
    }
    return numbers, np.array([hand is not None for hand in hands], bool).reshape(len(keys), 2)


def _check_fits(content: Mapping[str, Any], used: int, fits: Path, joints: Path) -> None:
    """Say how many fits are of no frame; refuse a file of which none is."""
    frames = [of for frames in content.values() for of in frames.values() if of]
    total = sum(1 for of in frames for side in ("right", "left") if of.get(side) is not None)
    if not used:
        raise DataSetError(
            f"{fits} labels nothing: none of the {total} hands fitted in it is of a frame in "
            f"{joints.name}; expected {{capture: {{frame: {{right, left}}}}}} of the same release. "
            "Copy it again, or remove it to read the set without MANO labels"
        )
    if used < total:
        _LOG.warning(
            "%s: %d of the %d hands fitted in it are of no frame in %s",
            fits, total - used, total, joints.name,
        )  # fmt: skip


def read_photos(path: Path, cameras: Cameras, frames: Frames) -> Hands:
    """The hands of all photos: of two in one the right one first; a record at a time."""
    photos: dict[Any, _Photo] = {}
    groups: dict[str, str] = {}
    hands = _Annotated([], [], array.array("f"), bytearray(), bytearray())
    with _explained(path):
        for kind, record in stream_records(path, ("images", "annotations")):
            if kind == "images":
                photos[record["id"]] = _photo(record, cameras, frames, groups)
            else:
                hands.add(record)
        return _hands_of(hands, photos)


class _Photo(NamedTuple):
    """A photo: its file, its sequence, and the rows of its camera and frame (None: unknown)."""

    name: str
    group: str
    camera: int | None
    frame: int | None


def _photo(
    record: Mapping[str, Any], cameras: Cameras, frames: Frames, groups: dict[str, str]
) -> _Photo:
    capture = str(record["capture"])
    group = f"Capture{capture}/{record['seq_name']}"
    return _Photo(
        record["file_name"],
        groups.setdefault(group, group),
        cameras.rows.get((capture, str(record["camera"]))),
        frames.rows.get((capture, str(record["frame_idx"]))),
    )


class _Annotated(NamedTuple):
    """What is kept of the annotations, which may come before their photos.

    Attributes:
        photos: numbers of the photos.
        kinds: keys of `_SIDES`.
        boxes: left, top, width, height, one after the other.
        valid: 42 joints each, 0 or 1.
        sure: whether the hand's type is, 0 or 1.
    """

    photos: list[Any]
    kinds: list[str]
    boxes: "array.array[float]"
    valid: bytearray
    sure: bytearray

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep one more."""
        kind, joints, box = record["hand_type"], np.ravel(record["joint_valid"]), record["bbox"]
        if kind not in _SIDES:
            raise ValueError(f"hand_type {kind!r}, expected {', '.join(_SIDES)}")
        if joints.shape != (42,) or len(box) != 4 or not np.isfinite(box).all():
            raise ValueError(
                f"annotation {record.get('id')}: expected 42 joints and a box of 4 numbers, got "
                f"{len(joints)} and {box}"
            )
        self.photos.append(record["image_id"])
        self.kinds.append(next(known for known in _SIDES if known == kind))
        self.boxes.extend(box)
        self.valid.extend((joints > 0).tobytes())
        self.sure.append(bool(record["hand_type_valid"]))


def _hands_of(annotated: _Annotated, photos: Mapping[Any, _Photo]) -> Hands:
    names, groups, places = [], [], []
    for row, (number, kind) in enumerate(zip(annotated.photos, annotated.kinds)):
        photo = photos[number]
        if photo.camera is None or photo.frame is None:
            missing = "camera" if photo.camera is None else "3D joints of its frame"
            raise ValueError(f"{photo.name}: no {missing} in the file beside this one")
        for side in _SIDES[kind]:
            names.append(photo.name)
            groups.append(photo.group)
            places.append((row, photo.camera, photo.frame, side == "left"))
    rows, cameras, frames, sides = np.array(places, np.int64).reshape(-1, 4).T
    boxes = np.array(annotated.boxes, np.float32).reshape(-1, 4)[rows]
    boxes[:, 2:] += boxes[:, :2]
    valid = np.frombuffer(annotated.valid, bool).reshape(-1, 2, 21)[rows, sides]
    pairs = np.array([kind == "interacting" for kind in annotated.kinds], bool)
    return Hands(
        names, groups, cameras, frames, sides,
        valid[:, list(permutation("interhand", "openpose"))], boxes, pairs[rows],
        np.frombuffer(annotated.sure, bool)[rows],
    )  # fmt: skip
