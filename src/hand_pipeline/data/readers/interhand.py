"""InterHand2.6M v1.0 (Moon et al. 2020): its exact layout on disk, read.

    images/SPLIT/Capture<i>/<SEQ>/cam<CAM>/image<FRAME>.jpg
    annotations/SPLIT/InterHand2.6M_SPLIT_{data,camera,joint_3d,MANO_NeuralAnnot}.json

Photos of 334 x 512 or 512 x 334 px by the camera, one or two hands each. Joints are millimetres in
the world frame of a capture, right hand 0-20, left hand 21-41, each finger from its tip, the wrist
last; MANO (NeuralAnnot's fits, relative to MANO's mean pose, left hands with corrected shape
directions) is metres in the same frame. 2D joints are projections: the set has no other. Joints are
triangulated points: those of the MANO fits lie about 5 mm from them, in some frames 40 mm.
Pixels are taken as they are: where the authors put pixel centres is not stated.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import log_left_out
from hand_pipeline.data.readers.interhand_layout import (
    Cameras,
    Frames,
    Hands,
    annotation_files,
    read_cameras,
    read_frames,
    read_photos,
)
from hand_pipeline.geometry.mano import ManoHand, mirror_points
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle

_CHUNK = 1 << 13  # hands turned into their cameras at once: 80 MB of rest shapes


def read_interhand(root: Path, split: str, mano: ManoHand) -> HandManifest:
    """InterHand2.6M's hands, in the order of `data.json`; of two in a photo the right one first.

    A joint counts as labelled if both its photo and its frame say so. Boxes are tight around the
    valid joints; only a hand with fewer than two of them has the photo's own box, which is wider
    (1.2 times a single hand, or around both). `flags` has `interacting` and `hand_type_valid`
    (False: the authors are not sure which hands are seen).

    Reading takes 14 s for 100 000 photos and, at its peak, 0.24 GB and 1.8 kB of memory a photo
    (half of them pairs, 80 cameras): 3 minutes and 2.7 GB for the training split's 1 361 062.

    Deviation: the authors' own loader drops every joint of a hand whose wrist is not valid, as its
    positions are relative to the wrist; ours are not.
    Deviation: `tool/MANO_world_to_camera` turns the hand about the wrist its joint regressor gives;
    we turn it about MANO's own wrist joint, about which MANO rotates, which is exact.

    Args:
        root: folder with `images` and `annotations`; `annotations/all` of the older 5 fps release
            is read too. Without the MANO file hands have no MANO labels.
        split: "train", "val" or "test".
        mano: the hand model, whose wrist moves with the shape.

    Raises:
        DataSetError: a file is missing or broken, or no hand is labelled.
    """
    files = annotation_files(root, split)
    cameras = read_cameras(files["camera"])
    frames = read_frames(files["joint_3d"], files.get("MANO_NeuralAnnot"))
    hands = read_photos(files["data"], cameras, frames)
    valid = hands.valid & frames.valid[hands.frame, hands.side]
    has_mano = frames.has_mano[hands.frame, hands.side]
    kept = np.flatnonzero(valid.any(1) | has_mano)
    total, lost = len(valid), len(valid) - len(kept)
    log_left_out("interhand", split, total, {"neither joints nor MANO labelled": lost})
    if not kept.size:
        raise DataSetError(f"{files['data']}: none of its {total} hands is labelled")
    points, pixels, pose, place = _in_cameras(hands, kept, cameras, frames, mano)
    valid, has_mano, frame, side = valid[kept], has_mano[kept], hands.frame[kept], hands.side[kept]
    seen = valid & (points[..., 2] > 0)
    return build_manifest(
        "interhand",
        split,
        root,
        **_names(hands, kept, split),
        boxes=_boxes(hands, kept, pixels, seen),
        is_right=side == 0,
        intrinsics=cameras.intrinsics[hands.camera[kept]],
        joints_2d=pixels,
        has_joints_2d=seen,
        joints_3d=points,
        has_joints_3d=valid,
        mano_pose=pose,
        has_mano=has_mano,
        betas=frames.betas[frame, side],
        translation=place,
        flat_hand_mean=False,
        flags={
            "interacting": hands.interacting[kept],
            "hand_type_valid": hands.hand_type_valid[kept],
        },
    )


def _names(hands: Hands, kept: Int[np.ndarray, " kept"], split: str) -> dict[str, list[str]]:
    rows, side = kept.tolist(), ("right", "left")
    return {
        "ids": [f"{split}/{hands.names[i].rsplit('.', 1)[0]}_{side[hands.side[i]]}" for i in rows],
        "images": [f"images/{split}/{hands.names[i]}" for i in rows],
        "groups": [hands.groups[i] for i in rows],
    }


def _boxes(
    hands: Hands,
    kept: Int[np.ndarray, " kept"],
    pixels: Float[np.ndarray, "kept 21 2"],
    seen: Bool[np.ndarray, "kept 21"],
) -> Float[np.ndarray, "kept 4"]:
    """Tight around the hand's joints, one rule for single hands and pairs; without, the photo's."""
    return np.where(seen.sum(1, keepdims=True) > 1, box_around(pixels, seen), hands.boxes[kept])


def _in_cameras(
    hands: Hands,
    kept: Int[np.ndarray, " kept"],
    cameras: Cameras,
    frames: Frames,
    mano: ManoHand,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Joints (metres, and pixels), MANO's pose and translation in each photo's camera, float32."""
    found = [np.empty((len(kept), *shape), np.float32) for shape in ((21, 3), (21, 2), (48,), (3,))]
    for start in range(0, len(kept), _CHUNK):
        part = slice(start, start + _CHUNK)
        rows = kept[part]
        frame, side, camera = hands.frame[rows], hands.side[rows], hands.camera[rows]
        turn, position = cameras.rotation[camera], cameras.position[camera]
        points = (frames.joints[frame, side] - position[:, None]) @ turn.transpose(0, 2, 1)
        depth = np.where(points[..., 2:] > 0, points[..., 2:], 1)
        pixels = (points / depth) @ cameras.intrinsics[camera].transpose(0, 2, 1)
        pose, place = _mano_in_camera(frames, frame, side, turn, position, mano)
        values = (points, pixels[..., :2], pose, place)
        for array, value in zip(found, values):
            array[part] = value
    return found[0], found[1], found[2], found[3]


def _mano_in_camera(
    frames: Frames,
    frame: Int[np.ndarray, " hands"],
    side: Int[np.ndarray, " hands"],
    turn: Float[np.ndarray, "hands 3 3"],
    position: Float[np.ndarray, "hands 3"],
    mano: ManoHand,
) -> tuple[Float[np.ndarray, "hands 48"], Float[np.ndarray, "hands 3"]]:
    """Pose and translation after `x -> turn (x - position)`.

    MANO turns about the wrist J of its shape: `R(X - J) + J + t` becomes
    `turn R (X - J) + turn (J + t - position)`, so t' = turn (J + t - position) - J.
    """
    pose = frames.pose[frame, side].copy()
    wrist_turn = axis_angle_to_matrix(torch.from_numpy(pose[:, :3]))
    pose[:, :3] = matrix_to_axis_angle(torch.from_numpy(turn) @ wrist_turn).numpy()
    betas = torch.from_numpy(frames.betas[frame, side]).float()
    right = mano.rest_joints(betas)[:, 0].double()
    wrist = np.where((side == 0)[:, None], right.numpy(), mirror_points(right).numpy())
    moved = wrist + frames.translation[frame, side] - position
    return pose, (turn @ moved[..., None])[..., 0] - wrist
