"""HO-3D, versions 2 and 3 (Hampali et al. 2020): hands with objects, in its published layout.

    train.txt evaluation.txt        lines "<sequence>/<frame>", e.g. ABF10/0021
    train/<sequence>/{rgb,depth,meta}/0000.{png (v2) | jpg (v3), png, pkl}      evaluation/...
    evaluation_xyz.json evaluation_verts.json       the labels released in 2024, if they are there

Right hands, photos of 640 x 480, metres, OpenGL's camera frame, MANO's joint order with HO-3D's
own fingertip vertices, poses relative to the flat hand.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.ho3d_frames import (
    PICTURE,
    FrameLabels,
    capture_of,
    frames_there,
    image_path,
    joints_to_camera,
    list_frames,
    pixels_of,
    place_on_wrist,
    points_to_camera,
    pose_to_camera,
)
from hand_pipeline.data.readers.json_arrays import read_rows
from hand_pipeline.geometry.mano import ManoHand

Version = Literal["v2", "v3"]
_SUFFIXES = {"v2": ".png", "v3": ".jpg"}
_TRAIN = ("handPose", "handBeta", "handJoints3D", "camMat")
_EVALUATION = ("handJoints3D", "handBoundingBox", "camMat")
_LABELS = {"evaluation_xyz.json": (21, 3), "evaluation_verts.json": (778, 3)}
_SAME_WRIST = 0.02  # metres, in the median: the released labels and the frames' own wrists

logger = logging.getLogger(__name__)


def read_ho3d(
    root: Path, split: str, mano: ManoHand, version: Version = "v3", partial: bool = False
) -> HandManifest:
    """HO-3D's hands, in the order of the split's txt file, which submissions have too.

    Frames that the txt does not name have no labels and are not looked at. A named frame with None
    for a label is left out of "train"; in "evaluation", where every line counts, it stays as a hand
    without that label, and without a box gets the whole photo as its box. "evaluation" has cameras,
    boxes and wrists, and joints and vertices if the two json files lie at the root (verts: 0.1 GB
    of memory for v2, 0.2 GB for v3). It never has MANO parameters.

    Boxes of "train" are tight around the projected joints. Groups are captures: SB10 to SB14 are
    cameras of one, and v2's and v3's train and evaluation splits share that one.

    HO-3D does not say where in a pixel its coordinates lie; they are used as they are.

    Deviation: the hand is placed by its labelled wrist, not by `handTrans`; both say the same, but
    MANO's wrist at rest then needs to be known once only, in our frame.

    Args:
        root: folder with the txt files.
        split: "train" or "evaluation".
        mano: right hand with HO-3D's tips.
        version: "v2" or "v3", which differ in the photos' file type.
        partial: leave out named frames whose photo or pickle is not there.

    Raises:
        DataSetError: files are missing, damaged, or of another release.
    """
    title = f"HO-3D {version}"
    suffix = _SUFFIXES[version]
    listed = list_frames(root, split, title)
    there = frames_there(root, split, listed, suffix, partial)
    names = [listed[row] for row in there]
    if split == "train":
        rows, given = _train_labels(root, names, mano)
    else:
        released = {name: _released(root / name, len(listed), there) for name in _LABELS}
        rows, given = np.arange(len(names)), _evaluation_labels(root, names, released)
    chosen = [names[row] for row in rows.tolist()]
    return build_manifest(
        f"ho3d_{version}",
        split,
        root,
        ids=[f"{split}/{name}" for name in chosen],
        images=[image_path(split, name, suffix) for name in chosen],
        groups=[capture_of(name) for name in chosen],
        **given,
    )


def _train_labels(
    root: Path, names: list[str], mano: ManoHand
) -> tuple[np.ndarray, dict[str, Any]]:
    labels = FrameLabels(root, "train", names, _TRAIN)
    pose, has_pose = labels.column("handPose", (48,))
    betas, has_betas = labels.column("handBeta", (10,))
    joints, has_joints = labels.column("handJoints3D", (21, 3))
    cameras, has_cameras = labels.column("camMat", (3, 3))
    there = has_pose & has_betas & has_joints & has_cameras
    rows = np.flatnonzero(there)
    logger.info("%d of %d hands left out: no label (None)", len(names) - len(rows), len(names))
    if not rows.size:
        raise DataSetError(f"no frame that {root / 'train.txt'} names has labels")
    points, cameras, betas = joints_to_camera(joints[rows]), cameras[rows], betas[rows]
    every = np.ones(points.shape[:2], dtype=bool)
    pixels = pixels_of(points, cameras, every)
    return rows, {
        "boxes": box_around(pixels),
        "intrinsics": cameras,
        "joints_2d": pixels,
        "joints_3d": points,
        "mano_pose": pose_to_camera(pose[rows]),
        "betas": betas,
        "translation": place_on_wrist(points[:, 0], betas, every[:, 0], mano),
    }


def _evaluation_labels(
    root: Path, names: list[str], released: dict[str, np.ndarray | None]
) -> dict[str, Any]:
    labels = FrameLabels(root, "evaluation", names, _EVALUATION)
    wrist, has_wrist = labels.column("handJoints3D", (3,))
    boxes, has_box = labels.column("handBoundingBox", (4,))
    cameras, has_camera = labels.column("camMat", (3, 3))
    valid = np.zeros((len(names), 21), dtype=bool)
    valid[:, 0] = has_wrist
    points = np.zeros((len(names), 21, 3))
    points[:, 0] = points_to_camera(wrist)
    xyz, vertices = released.values()
    if xyz is not None:
        _check_wrists(root, xyz[:, 0], wrist, has_wrist)
        points, valid = joints_to_camera(xyz), np.ones_like(valid)
    if vertices is not None:
        vertices = points_to_camera(vertices).astype(np.float32)
    in_picture = valid & has_camera[:, None]
    pixels = pixels_of(points, cameras, in_picture)
    whole = in_picture.all(1)
    around = np.where(whole[:, None], box_around(pixels), [0.0, 0.0, *PICTURE])
    logger.info(
        "of %d hands %d have no wrist, %d no box, %d no camera (None)",
        len(names), (~has_wrist).sum(), (~has_box).sum(), (~has_camera).sum(),
    )  # fmt: skip
    return {
        "boxes": np.where(has_box[:, None], boxes, around),
        "intrinsics": cameras,
        "has_intrinsics": has_camera,
        "joints_2d": pixels,
        "has_joints_2d": in_picture,
        "joints_3d": points,
        "has_joints_3d": valid,
        "vertices": vertices,
    }


def _released(path: Path, count: int, rows: list[int]) -> np.ndarray | None:
    """Rows of one of the label files of 2024, or None if it is not there."""
    if not path.is_file():
        return None
    points = read_rows(path, _LABELS[path.name])
    if len(points) != count:
        raise DataSetError(
            f"{path} has {len(points)} hands, evaluation.txt {count}; they must be of one version "
            "(v2 has 11524, v3 20137)"
        )
    return points[rows]


def _check_wrists(root: Path, xyz: np.ndarray, wrist: np.ndarray, has_wrist: np.ndarray) -> None:
    """The released labels must be in the order and the OpenGL frame of the frames' own wrists."""
    if not has_wrist.any():
        return
    off = float(np.median(np.linalg.norm((xyz - wrist)[has_wrist], axis=1)))
    if off > _SAME_WRIST:
        raise DataSetError(
            f"the wrists of {root / 'evaluation_xyz.json'} lie {off:.3f} m (median) from those in "
            "the frames' own files; expected metres, OpenGL's camera frame (y up, z backwards) and "
            "the order of evaluation.txt"
        )
