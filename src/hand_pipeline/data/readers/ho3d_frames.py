"""What HO-3D and H2O-3D share: lists of frames, one pickle a frame, and the OpenGL camera frame."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from tqdm import tqdm

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.accounting import present, settle_absent
from hand_pipeline.data.readers.folders import list_files
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pipeline.pickles import read_pickle

PICTURE = (640, 480)
"""Width and height of every photo, px."""

_FLIP = np.array([1.0, -1.0, -1.0])  # OpenGL's axes (y up, z backwards) to OpenCV's, and back
_THREADS = 8  # reading waits for the disk; parsing takes turns
_CHUNK = 64  # frames a thread reads at a time


def list_frames(root: Path, split: str, title: str) -> list[str]:
    """The frames of SPLIT.txt, "<sequence>/<frame>", in its order.

    Raises:
        DataSetError: there is no such file, it is empty, or a line is no frame.
    """
    path = root / f"{split}.txt"
    if not path.is_file():
        raise DataSetError(
            f"no {path}; expected {title}'s folder with train.txt, evaluation.txt, train and "
            "evaluation"
        )
    names = path.read_text(encoding="utf-8").split()
    bad = [name for name in names if len(Path(name).parts) != 2 or ".." in name]
    if bad or not names:
        found = f"{bad[0]!r}" if bad else "an empty file"
        raise DataSetError(f"{path}: expected lines like ABF10/0021, got {found}")
    return names


def frames_there(
    root: Path, split: str, names: Sequence[str], suffix: str, partial: bool
) -> list[int]:
    """Places of the frames whose photo and label file are there, one look into each folder.

    Raises:
        AbsentError: some are not there, and `partial` does not allow it; or none is.
    """
    photos = [image_path(split, name, suffix) for name in names]
    labels = [label_path(split, name) for name in names]
    there = present(root, [*photos, *labels])
    absent = [path for pair in zip(photos, labels) for path in pair if path not in there]
    hint = ""
    if absent and absent[0].endswith(suffix):
        folder = root / Path(absent[0]).parent
        kinds = {Path(name).suffix for name in list_files(folder, r".+\.(jpg|png)")} - {suffix}
        hint = f" (the photos there are {', '.join(kinds)}: of another version?)" if kinds else ""
    kept = [i for i, pair in enumerate(zip(photos, labels)) if there.issuperset(pair)]
    what = f"photos and label files that {split}.txt names"
    settle_absent(root, what, absent, 2 * len(names) if kept else len(absent), partial, hint)
    return kept


def label_path(split: str, name: str) -> str:
    """Of a frame's pickle, relative to the root."""
    sequence, frame = name.split("/")
    return f"{split}/{sequence}/meta/{frame}.pkl"


def image_path(split: str, name: str, suffix: str) -> str:
    """Of a frame's photo, relative to the root."""
    sequence, frame = name.split("/")
    return f"{split}/{sequence}/rgb/{frame}{suffix}"


def capture_of(name: str) -> str:
    """Sequence without its last digit, which tells the camera: SB10 to SB14 show one capture.

    Some sequences' last digit tells takes of one subject apart; they then share a group too.
    """
    return name.split("/")[0][:-1]


class FrameLabels:
    """The pickles of some frames, column by column.

    Only the wanted entries are kept: HO-3D's also hold maps of contact, 20 times as large.

    Args:
        root: folder with SPLIT.txt.
        split: name of the split.
        names: frames.
        keys: entries to keep.

    Raises:
        DataSetError: a pickle is missing, damaged, unsafe or lacks an entry.
    """

    def __init__(self, root: Path, split: str, names: Sequence[str], keys: Sequence[str]) -> None:
        self._paths = [root / label_path(split, name) for name in names]
        self._keys = tuple(keys)
        chunks = [self._paths[i : i + _CHUNK] for i in range(0, len(names), _CHUNK)]
        self._rows: list[tuple[Any, ...]] = []
        bar = tqdm(total=len(names), desc=f"labels of {split}", unit="frame", disable=None)
        with bar, ThreadPoolExecutor(_THREADS) as pool:
            for rows in pool.map(self._read, chunks):
                self._rows += rows
                bar.update(len(rows))

    def __len__(self) -> int:
        return len(self._rows)

    def column(
        self, key: str, shape: tuple[int, ...]
    ) -> tuple[Float[np.ndarray, " frames *shape"], Bool[np.ndarray, " frames"]]:
        """One entry of every frame.

        Args:
            key: of the pickles.
            shape: of one; a column of numbers counts as a row of them.

        Returns:
            The values, zero where the frame has None, and where it has not.

        Raises:
            DataSetError: an entry has another shape, or is not finite.
        """
        index = self._keys.index(key)
        values = np.zeros((len(self), math.prod(shape)))
        there = np.zeros(len(self), dtype=bool)
        for row, entries in enumerate(self._rows):
            if entries[index] is None:
                continue
            found = np.asarray(entries[index])
            if found.size != math.prod(shape) or found.dtype.kind not in "fiub":
                raise DataSetError(
                    f"{self._paths[row]}: {key} is {found.shape} of {found.dtype}, "
                    f"expected {shape} numbers"
                )
            if not np.isfinite(found).all():
                raise DataSetError(f"{self._paths[row]}: {key} is not finite")
            values[row], there[row] = found.reshape(-1), True
        return values.reshape(-1, *shape), there

    def _read(self, paths: Sequence[Path]) -> list[tuple[Any, ...]]:
        return [self._entries(path) for path in paths]

    def _entries(self, path: Path) -> tuple[Any, ...]:
        try:
            content = read_pickle(path)
        except (ValueError, OSError) as error:
            raise DataSetError(str(error)) from error
        if not isinstance(content, dict) or not set(self._keys) <= set(content):
            held = ", ".join(map(str, content)) if isinstance(content, dict) else type(content)
            raise DataSetError(f"{path}: expected {', '.join(self._keys)}; it holds {held}")
        return tuple(content[key] for key in self._keys)


def points_to_camera(points: Float[np.ndarray, "*batch 3"]) -> Float[np.ndarray, "*batch 3"]:
    """OpenGL's camera frame to OpenCV's (and back)."""
    return points * _FLIP


def joints_to_camera(joints: Float[np.ndarray, "hands 21 3"]) -> Float[np.ndarray, "hands 21 3"]:
    """HO-3D's joints in the project's order and frame."""
    return points_to_camera(joints[:, list(permutation("ho3d", "openpose"))])


def pixels_of(
    points: Float[np.ndarray, "hands points 3"],
    cameras: Float[np.ndarray, "hands 3 3"],
    valid: Bool[np.ndarray, "hands points"],
) -> Float[np.ndarray, "hands points 2"]:
    """Pixels of the valid points (OpenCV's frame), zero for the others."""
    seen = np.where(valid[..., None], points, [0.0, 0.0, 1.0]) @ cameras.transpose(0, 2, 1)
    depth = np.where(valid[..., None], seen[..., 2:], 1.0)
    return np.where(valid[..., None], seen[..., :2] / depth, 0.0)


def pose_to_camera(pose: Float[np.ndarray, "hands 48"]) -> Float[np.ndarray, "hands 48"]:
    """The wrist's rotation in OpenCV's camera frame: diag(1, -1, -1) R."""
    turned = torch.from_numpy(_FLIP)[:, None] * axis_angle_to_matrix(torch.from_numpy(pose[:, :3]))
    return np.concatenate([matrix_to_axis_angle(turned).numpy(), pose[:, 3:]], axis=1)


def place_on_wrist(
    wrist: Float[np.ndarray, "hands 3"],
    betas: Float[np.ndarray, "hands 10"],
    is_right: Bool[np.ndarray, " hands"],
    mano: ManoHand,
) -> Float[np.ndarray, "hands 3"]:
    """Translation that brings MANO's wrist, the fixed point of its rotation, to `wrist`."""
    at_rest = mano.rest_joints(torch.from_numpy(betas).float())[:, 0].double().numpy()
    return wrist - np.where(is_right[:, None], at_rest, at_rest * [-1.0, 1.0, 1.0])
