"""H2O-3D version 1 (Hampali et al. 2022): two hands with an object, in HO-3D's layout.

    train.txt evaluation.txt        lines "<sequence>/<frame>"
    train/<sequence>/{rgb,depth,segr,meta}/0000.{jpg,png,...,pkl}      evaluation/...

A right and a left hand in every photo of 640 x 480, metres, OpenGL's camera frame, MANO's joint
order with HO-3D's fingertip vertices, poses relative to the flat hand, one shape for both hands.
"""

import logging
from pathlib import Path
from typing import Any

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
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import ManoHand

_TITLE = "H2O-3D"
_SUFFIX = ".jpg"
_SIDES = ("right", "left")
_TRAIN = ("{}HandPose", "{}HandJoints3D", "jointValid{}", "poseValid{}")
_EVALUATION = ("{}HandJoints3D", "{}HandBoundingBox")

logger = logging.getLogger(__name__)


def read_h2o3d(root: Path, split: str, mano: ManoHand, partial: bool = False) -> HandManifest:
    """H2O-3D's hands: of every frame of the split's txt file the right one, then the left one.

    Joints that `jointValid` marks 0 have no labels. A hand has MANO labels if `poseValid` marks all
    48 of its numbers; the marks themselves are the flag `pose_valid`. In "train", hands with None
    for a label or without a valid joint are left out; "evaluation" has cameras, boxes and wrists
    only, and keeps a hand with None without that label (without a box: the whole photo).

    Deviation: the authors' program poses left hands by MANO's left model with all shape directions
    negated, ours is the mirrored right model with the same shape numbers. Joints are the set's own;
    MANO's hand is placed by the labelled wrist, not by `leftHandTrans`, so that the two models'
    different wrists at rest do not shift it. Its vertices may differ by what the shapes do.

    H2O-3D does not say where in a pixel its coordinates lie; they are used as they are.

    Args:
        root: folder with the txt files.
        split: "train" or "evaluation".
        mano: right hand with H2O-3D's tips.
        partial: leave out named frames whose photo or pickle is not there.

    Raises:
        DataSetError: files are missing, damaged, or of another set.
    """
    listed = list_frames(root, split, _TITLE)
    frames = [listed[row] for row in frames_there(root, split, listed, _SUFFIX, partial)]
    train = split == "train"
    keys = [_key(key, side) for key in (_TRAIN if train else _EVALUATION) for side in _SIDES]
    shared = ("camMat", "handBeta") if train else ("camMat",)
    labels = FrameLabels(root, split, frames, (*keys, *shared))
    is_right = np.tile([True, False], len(frames))
    given = (_train_labels if train else _evaluation_labels)(labels, is_right, mano)
    rows = np.flatnonzero(given.pop("kept"))
    if not rows.size:
        raise DataSetError(f"no frame that {root / f'{split}.txt'} names has labels")
    names = [frames[row // 2] for row in rows.tolist()]
    tails = ["_r" if right else "_l" for right in is_right[rows].tolist()]
    return build_manifest(
        "h2o3d",
        split,
        root,
        ids=[f"{split}/{name}{tail}" for name, tail in zip(names, tails)],
        images=[image_path(split, name, _SUFFIX) for name in names],
        groups=[capture_of(name) for name in names],
        is_right=is_right[rows],
        flags={name: value[rows] for name, value in given.pop("flags").items()},
        **{name: value[rows] for name, value in given.items()},
    )


def _train_labels(labels: FrameLabels, is_right: np.ndarray, mano: ManoHand) -> dict[str, Any]:
    pose, has_pose = _both(labels, "{}HandPose", (48,))
    joints, has_joints = _both(labels, "{}HandJoints3D", (21, 3))
    joint_valid, _ = _both(labels, "jointValid{}", (21,))
    pose_valid, _ = _both(labels, "poseValid{}", (48,))
    betas, has_betas = _shared(labels, "handBeta", (10,))
    cameras, has_camera = _shared(labels, "camMat", (3, 3))
    labelled = has_joints & has_camera
    valid = (joint_valid > 0)[:, list(permutation("h2o3d", "openpose"))] & labelled[:, None]
    kept = valid.any(1)
    logger.info(
        "%d of %d hands left out: no label, None (%d), no valid joint (%d)",
        (~kept).sum(), len(kept), (~labelled).sum(), (labelled & ~kept).sum(),
    )  # fmt: skip
    points = joints_to_camera(joints)
    pixels = pixels_of(points, cameras, valid)
    has_mano = has_pose & has_betas & has_joints & (pose_valid > 0).all(1)
    there = has_mano[:, None]
    return {
        "kept": kept,
        "boxes": box_around(pixels, valid),
        "intrinsics": cameras,
        "joints_2d": pixels,
        "has_joints_2d": valid,
        "joints_3d": np.where(valid[..., None], points, 0.0),
        "has_joints_3d": valid,
        "mano_pose": pose_to_camera(pose) * there,
        "betas": betas * there,
        "translation": place_on_wrist(points[:, 0], betas, is_right, mano) * there,
        "has_mano": has_mano,
        "flags": {"pose_valid": pose_valid > 0},
    }


def _evaluation_labels(labels: FrameLabels, is_right: np.ndarray, mano: ManoHand) -> dict[str, Any]:
    wrist, has_wrist = _both(labels, "{}HandJoints3D", (3,))
    boxes, has_box = _both(labels, "{}HandBoundingBox", (4,))
    cameras, has_camera = _shared(labels, "camMat", (3, 3))
    logger.info(
        "of %d hands %d have no wrist, %d no box, %d no camera (None)",
        len(wrist), (~has_wrist).sum(), (~has_box).sum(), (~has_camera).sum(),
    )  # fmt: skip
    points = np.zeros((len(wrist), 21, 3))
    points[:, 0] = points_to_camera(wrist)
    valid = np.zeros((len(wrist), 21), dtype=bool)
    valid[:, 0] = has_wrist
    in_picture = valid & has_camera[:, None]
    return {
        "kept": np.ones(len(wrist), dtype=bool),
        "boxes": np.where(has_box[:, None], boxes, [0.0, 0.0, *PICTURE]),
        "intrinsics": cameras,
        "has_intrinsics": has_camera,
        "joints_2d": pixels_of(points, cameras, in_picture),
        "has_joints_2d": in_picture,
        "joints_3d": points,
        "has_joints_3d": valid,
        "flags": {},
    }


def _key(pattern: str, side: str) -> str:
    """rightHandPose, but jointValidRight."""
    return pattern.format(side if pattern.startswith("{}") else side.capitalize())


def _both(
    labels: FrameLabels, pattern: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """A column of right and left hands in turns."""
    columns = [labels.column(_key(pattern, side), shape) for side in _SIDES]
    values = np.stack([values for values, _ in columns], axis=1)
    there = np.stack([there for _, there in columns], axis=1)
    return values.reshape(-1, *shape), there.reshape(-1)


def _shared(labels: FrameLabels, key: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A column that both hands of a frame share."""
    values, there = labels.column(key, shape)
    return values.repeat(2, axis=0), there.repeat(2)
