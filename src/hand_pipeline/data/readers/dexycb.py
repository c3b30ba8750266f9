"""DexYCB (Chao et al. 2021): its exact layout on disk, read.

    SUBJECT/SEQUENCE/meta.yml    SUBJECT/SEQUENCE/SERIAL/{color_%06d.jpg,labels_%06d.npz}
    calibration/intrinsics/SERIAL_640x480.yml    calibration/mano_CALIB/mano.yml

One hand a photo of 640 x 480 px, right or left, metres, OpenCV camera frame, OpenPose joint order.
`labels_*.npz` holds `pose_m` (1, 51): wrist rotation, 45 principal components, translation, all 0
where the hand is not labelled, `joint_3d` (1, 21, 3) and `joint_2d` (1, 21, 2), all -1 there.
Pixels are taken as they are: where the authors put pixel centres is not stated.

The left hands' labels were made with MANO's left model as it is shipped, with its sign error of
the shape directions (smplx issue 48, dex-ycb-toolkit issue 28), and the right hands' betas.
Deviation: we show left hands as mirrored right ones, whose shape is correct: the stored betas then
give a hand of slightly other lengths than the labelled joints have. We place it by the labelled
wrist; the log says how far its joints lie from the labelled ones. The middle fingertip of left
hands is another vertex (445) than that of right ones (444), some millimetres away from it.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.dexycb_layout import (
    SERIALS,
    CameraFolder,
    list_folders,
    read_camera,
    read_labels,
    split_parts,
)
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand, mirror_points
from hand_pipeline.geometry.rotation import mirror_axis_angle

_WELL_FITTED = 0.015  # metres, worst joint of the median hand
_CHECKED = 256  # hands of each side
_LOG = logging.getLogger(__name__)


def read_dexycb(
    root: Path,
    split: str,
    mano: ManoHand,
    partial: bool = False,
    threads: int = 16,
    left_components: Float[np.ndarray, "45 45"] | None = None,
) -> HandManifest:
    """DexYCB's labelled hands, in the order of the authors' toolkit, less frames without a hand.

    `flags["index"]` (int64) is a hand's place in the toolkit's `DexYCBDataset`, which numbers
    frames without a hand too; result files go by it. Opens every label file, 465 504 for s0_train:
    some 0.3 ms each besides the disk's time, and up to 1.5 GB of memory. Boxes are tight around
    the 2D joints.

    Args:
        root: `$DEX_YCB_DIR`.
        split: "s0_train" to "s3_test", see `split_parts`.
        mano: the hand model; its components turn `pose_m` into axis-angle.
        partial: leave out subjects that are not whole and frames without a label file, instead of
            an error. Without a subject the places in the official list are not known:
            `flags["index"]` is -1.
        threads: label files read at once.
        left_components: `hands_components` of MANO's left model; None: the right one's mirrored.

    Raises:
        DataSetError: a folder or file is missing or broken, or a subject has over 100 sequences.
    """
    part = split_parts(split)
    folders, complete = list_folders(root, part, partial)
    labels = read_labels(root, folders, threads, partial)
    kept = np.flatnonzero((labels.joint_3d != -1).any((1, 2)))
    total, lost = len(labels.joint_3d), len(labels.joint_3d) - len(kept)
    _LOG.info("%d of %d hands left out: joints not labelled (%d)", lost, total, lost)
    if not kept.size:
        raise DataSetError(f"{root}: none of {split}'s {total} frames shows a labelled hand")
    cameras = {i: read_camera(root, SERIALS[i]) for i in part.cameras}
    owner = np.repeat(np.arange(len(folders)), [f.frames for f in folders])[kept]
    intrinsics = np.stack([cameras[f.camera] for f in folders])[owner]
    found = build_manifest(
        "dexycb",
        split,
        root,
        **_names(folders, owner, kept),
        **_joints(labels.joint_2d[kept], labels.joint_3d[kept], intrinsics),
        is_right=np.array([f.is_right for f in folders])[owner],
        intrinsics=intrinsics,
        joints_3d=labels.joint_3d[kept],
        mano_pose=np.zeros((len(kept), 48), np.float32),
        has_mano=labels.pose_m[kept].any(1),
        betas=np.stack([f.betas for f in folders])[owner],
        flat_hand_mean=False,
        flags={"index": kept if complete else np.full(len(kept), -1)},
    )
    found = _with_mano(found, labels.pose_m[kept], mano, left_components)
    _report_misfit(found, mano)
    return found


def _names(
    folders: Sequence[CameraFolder],
    owner: Int[np.ndarray, " hands"],
    kept: Int[np.ndarray, " hands"],
) -> dict[str, Any]:
    """Ids, photos and groups (sequences: all cameras of one together)."""
    frames = (kept - np.array([f.first for f in folders])[owner]).tolist()
    paths = [folders[i].path for i in owner.tolist()]
    return {
        "ids": [f"{path}/{frame:06d}" for path, frame in zip(paths, frames)],
        "images": [f"{path}/color_{frame:06d}.jpg" for path, frame in zip(paths, frames)],
        "groups": [path.rsplit("/", 1)[0] for path in paths],
    }


def _joints(
    pixels: Float[np.ndarray, "hands 21 2"],
    points: Float[np.ndarray, "hands 21 3"],
    intrinsics: Float[np.ndarray, "hands 3 3"],
) -> dict[str, Any]:
    """2D joints, which are labelled, and boxes around them; without them around projected ones."""
    seen = np.repeat((pixels != -1).any((1, 2))[:, None], 21, axis=1)
    shown = project(torch.from_numpy(points).double(), torch.from_numpy(intrinsics))
    return {
        "joints_2d": pixels * seen[..., None],
        "has_joints_2d": seen,
        "boxes": box_around(np.where(seen[..., None], pixels, shown.numpy())),
    }


def _with_mano(
    found: HandManifest,
    pose_m: Float[np.ndarray, "hands 51"],
    mano: ManoHand,
    left_components: Float[np.ndarray, "45 45"] | None,
) -> HandManifest:
    """The manifest with poses as axis-angle, relative to MANO's mean pose, and translations."""
    right = mano.hands_components
    left = mirror_axis_angle(right.unflatten(1, (15, 3))).flatten(1).numpy()
    of_side = {True: right.numpy(), False: left if left_components is None else left_components}
    pose, place = pose_m[:, :48].copy(), pose_m[:, 48:].copy()
    for side, components in of_side.items():
        rows = found.is_right == side
        pose[rows, 3:] = pose_m[rows, 3:48] @ components
    shapes, which = np.unique(found.betas, axis=0, return_inverse=True)  # ten subjects'
    wrist = mirror_points(mano.rest_joints(torch.from_numpy(shapes))[:, 0]).numpy()[which.ravel()]
    # The stored translation belongs to the uncorrected left model, whose wrist lies elsewhere.
    place = np.where(found.is_right[:, None], place, found.joints_3d[:, 0] - wrist)
    there = found.has_mano[:, None]
    return replace(found, mano_pose=pose * there, translation=place * there)


def _report_misfit(found: HandManifest, mano: ManoHand) -> None:
    """Log how far the worst joint that MANO's numbers give lies from its label, median of hands.

    Fingertips, which are vertices of the model at hand, are not compared.
    """
    knuckles = [i for i in range(21) if i % 4 or not i]
    for side in (True, False):
        rows = np.flatnonzero(found.has_mano & (found.is_right == side))
        if not rows.size:
            continue
        chosen = found.select(rows[:: -(-len(rows) // _CHECKED)])
        turned = torch.from_numpy(chosen.mano_pose).unflatten(1, (16, 3))
        place, truth = torch.from_numpy(chosen.translation), torch.from_numpy(chosen.joints_3d)
        if not side:
            turned, place = mirror_axis_angle(turned), mirror_points(place)
            truth = mirror_points(truth)
        pose = mano.full_pose(turned.flatten(1), found.flat_hand_mean)
        joints = mano(pose, torch.from_numpy(chosen.betas), place).joints
        misfit = float((joints - truth)[:, knuckles].norm(dim=-1).amax(1).median())
        name = "right" if side else "left"
        _LOG.info("%s hands: MANO's worst joint lies %.2f mm from its label", name, misfit * 1000)
        if misfit > _WELL_FITTED:
            _LOG.warning(
                "DexYCB's MANO numbers give %s hands whose worst joint lies %.1f mm (median) from "
                "its label: the hand model is not the one they were made with. Read the set with "
                "MANO_RIGHT.pkl (`python -m hand_pipeline mano convert`), or train without its "
                "MANO labels",
                *(name, misfit * 1000),
            )
