"""Panoptic MTC (Xiang, Joo and Sheikh 2019, a4_release): hands seen by 31 cameras of CMU's dome.

    annotation.pkl     {"training_data": [...], "testing_data": [...]}, a person in a frame each:
                       seqName, frame_str, id, body, and left_hand, right_hand where they are good:
                       landmarks (63 numbers), 2D {camera: {insideImg, occluded (21), overlap}}
    camera_data.pkl    {seqName: {camera: {K, R, t, distCoef}}}
    hdImgs/SEQUENCE/FRAME/00_CAMERA_FRAME.jpg, 1920 x 1080; two digits of camera

Landmarks are in the dome's frame, centimetres, OpenPose order; X_camera = R X + t. There is no 2D
label: pixels are the landmarks seen through the camera and its lens (OpenCV's five coefficients),
where the hand is in the image. They differ from what the pinhole camera K alone gives, little in
the middle and by tens of pixels near the edges of a strongly bent picture: a model's 3D joints
projected through K do not fall on `joints_2d` exactly. There are no MANO labels.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import log_left_out
from hand_pipeline.geometry.distortion import project_distorted
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

_CENTIMETRE = 0.01
_LENS = {"K": (3, 3), "R": (3, 3), "t": (3,), "distCoef": (5,)}
_DAMAGE = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class _View(NamedTuple):
    """One hand in one camera's picture: which landmarks and camera, and what it is called."""

    landmarks: int
    sequence: str
    frame: str
    camera: int
    person: int
    is_right: bool


class _Cameras(NamedTuple):
    """Of each hand: intrinsics, rotation and translation (centimetres) from the dome, lens."""

    K: Float[np.ndarray, "hands 3 3"]
    R: Float[np.ndarray, "hands 3 3"]
    t: Float[np.ndarray, "hands 3"]
    distCoef: Float[np.ndarray, "hands 5"]


def read_mtc(root: Path, split: str, mano: ManoHand) -> HandManifest:
    """Every good view of every hand, by the authors' rule.

    The rule: all 21 joints inside the image, none occluded by the hand itself, and no other hand
    over it. Deviation: the authors' training code also leaves out hands by a hand-checked list
    (a4_hands_annotated.txt) that lies with that code. Photos are not looked for here (there are
    hundreds of thousands); `HandImages` names those that are missing.

    Both pickles are read by `pickles.read_pickle`, which runs nothing of them. While they are read
    the annotations take about 0.15 GB of memory for every thousand people in a frame.

    Groups are sequences: the release does not say who is who across them.

    Args:
        root: the a4_release folder.
        split: "training", or "testing" (171204_pose5 and 6).
        mano: not used, the set has no MANO labels.

    Raises:
        DataSetError: a file is missing, damaged, or does not hold what the release has.
    """
    annotation = root / "annotation.pkl"
    landmarks: list[np.ndarray] = []
    left_out: Counter[str] = Counter()
    views: list[_View] = []
    for place, person in enumerate(_entry(_read(annotation), f"{split}_data", list, annotation)):
        try:
            views.extend(_views_of(person, landmarks, left_out))
        except _DAMAGE as error:
            raise DataSetError(
                f"{annotation}: {split}_data[{place}] is not a person as MTC's a4_release has them "
                f"({type(error).__name__}: {error}); copy the file again"
            ) from error
    log_left_out("mtc", split, len(views) + left_out.total(), left_out)
    if not views:
        raise DataSetError(f"{annotation}: no hand of {split}_data is well seen by any camera")
    cameras = _cameras_of(views, root / "camera_data.pkl")
    return _manifest(root, split, views, np.array(landmarks), cameras)


def _views_of(
    person: dict[str, Any], landmarks: list[np.ndarray], left_out: Counter[str]
) -> Iterator[_View]:
    """The good views of a person's hands, right then left; their landmarks are appended."""
    sequence, frame = str(person["seqName"]), str(person["frame_str"])
    for hand, is_right in (("right_hand", True), ("left_hand", False)):
        if hand not in person:
            continue
        points = np.array(person[hand]["landmarks"], dtype=np.float64).reshape(21, 3)
        landmarks.append(points)
        for camera, view in person[hand]["2D"].items():
            if not all(view["insideImg"]):
                left_out["not all in the image"] += 1
            elif any(view["occluded"]):
                left_out["occluded"] += 1
            elif view["overlap"]:
                left_out["behind another hand"] += 1
            else:
                row = len(landmarks) - 1
                yield _View(row, sequence, frame, int(camera), int(person["id"]), is_right)


def _cameras_of(views: list[_View], path: Path) -> _Cameras:
    """Each view's camera; every camera is read and checked once."""
    content = _read(path)
    places: dict[tuple[str, int], int] = {}
    index = [places.setdefault((view.sequence, view.camera), len(places)) for view in views]
    found: dict[str, list[np.ndarray]] = {name: [] for name in _LENS}
    for sequence, camera in places:
        try:
            lens = content[sequence][camera]
            for name, shape in _LENS.items():
                found[name].append(np.array(lens[name], dtype=np.float64).reshape(shape))
        except _DAMAGE as error:
            raise DataSetError(
                f"{path}: camera {camera} of {sequence} is missing or lacks one of "
                f"{', '.join(_LENS)} ({type(error).__name__}: {error}); copy the file again"
            ) from error
    return _Cameras(**{name: np.array(values)[index] for name, values in found.items()})


def _manifest(
    root: Path, split: str, views: list[_View], landmarks: np.ndarray, cameras: _Cameras
) -> HandManifest:
    world = landmarks[[view.landmarks for view in views]]
    points = (world @ cameras.R.transpose(0, 2, 1) + cameras.t[:, None]) * _CENTIMETRE
    seen = (torch.from_numpy(values) for values in (points, cameras.K, cameras.distCoef))
    pixels = project_distorted(*seen).numpy()
    return build_manifest(
        "mtc",
        split,
        root,
        ids=[
            f"{v.sequence}/{v.frame}/{v.camera:02d}/{v.person}_{'r' if v.is_right else 'l'}"
            for v in views
        ],
        images=[f"hdImgs/{v.sequence}/{v.frame}/00_{v.camera:02d}_{v.frame}.jpg" for v in views],
        groups=[view.sequence for view in views],
        is_right=np.array([view.is_right for view in views]),
        boxes=box_around(pixels),
        intrinsics=cameras.K,
        joints_2d=pixels,
        joints_3d=points,
    )


def _read(path: Path) -> Any:
    if not path.is_file():
        raise DataSetError(f"no {path}; expected the folder a4_release of mtc_dataset.tar.gz")
    try:
        return read_pickle(path)
    except ValueError as error:  # damaged or unsafe: the message says which
        raise DataSetError(str(error)) from error


def _entry(content: Any, key: str, kind: type, path: Path) -> Any:
    if not isinstance(content, dict) or not isinstance(content.get(key), kind):
        raise DataSetError(f"{path} has no {key}; expected annotation.pkl of MTC's a4_release")
    return content[key]
