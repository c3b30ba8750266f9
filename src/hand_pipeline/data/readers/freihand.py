"""FreiHAND (Zimmermann et al. 2019, version 2): its exact layout on disk, read and written.

    training/rgb/%08d.jpg    training/mask/%08d.jpg    training_{K,mano,scale,verts,xyz}.json
    evaluation/rgb/%08d.jpg                            evaluation_{K,mano,scale,verts,xyz}.json

Right hands, metres, OpenCV camera frame, OpenPose joint order with FreiHAND's own fingertip
vertices. Sample i of the real training set has four images, i + 32560 v, with backgrounds v.
Sets of ours may have training_groups.json besides: a name for each sample, whose hands stay
together where a share is held out (a person's photos).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import settle_absent
from hand_pipeline.data.readers.folders import list_files
from hand_pipeline.data.readers.json_arrays import read_rows
from hand_pipeline.files import atomic_write_text
from hand_pipeline.geometry.mano import ManoHand

Split = Literal["training", "evaluation"]
LABELS = ("K", "mano", "scale", "verts", "xyz")
ROOT_JOINT = 9  # `mano` places the hand by its middle knuckle
TIPS = "freihand"
_SHAPES = {"K": (3, 3), "mano": (61,), "scale": (), "verts": (778, 3), "xyz": (21, 3)}


@dataclass(frozen=True)
class FreiHandLabels:
    """Labels of a split, one row a sample.

    Attributes:
        K: camera.
        mano: 48 axis-angle pose (relative to MANO's mean pose), 10 betas, root's pixel (2), and s.
        scale: length of the middle finger's first bone, metres.
        verts, xyz: camera frame, metres.
    """

    K: Float[np.ndarray, "samples 3 3"]
    mano: Float[np.ndarray, "samples 61"]
    scale: Float[np.ndarray, " samples"]
    verts: Float[np.ndarray, "samples 778 3"]
    xyz: Float[np.ndarray, "samples 21 3"]

    def __len__(self) -> int:
        return len(self.K)


def read_freihand(
    root: Path,
    split: str,
    mano: ManoHand,
    versions: Sequence[int] | None = None,
    partial: bool = False,
) -> HandManifest:
    """FreiHAND's hands: whole images of 224 px, labels of 3D, vertices and MANO.

    The real evaluation split may come without labels but for the cameras (FreiHAND_pub_v2 alone):
    its hands then have none, enough for predicting.

    Args:
        root: folder with `training/rgb` and the `training_*.json`, or those of `evaluation`.
        split: "training" or "evaluation".
        mano: the hand model, to place MANO's hand on the labelled wrist.
        versions: backgrounds of the real training set to use, of 0 (green screen), 1 (harmonised),
            2 and 3 (colourised); None: all that are there.
        partial: also with a part of a version's images, e.g. 200 of the 3,960 for evaluation.

    Raises:
        DataSetError: labels or images are missing, cut short or of another count.
    """
    folder = root / split / "rgb"
    numbers = [int(name[:8]) for name in list_files(folder, r"\d{8}\.jpg")]
    unlabelled = split == "evaluation" and not (root / f"{split}_xyz.json").is_file()
    labels = None if unlabelled else read_labels(root, split)
    cameras = root / f"{split}_K.json"
    intrinsics = _read_array(cameras, _SHAPES["K"]) if labels is None else labels.K
    numbers = _images_of_versions(numbers, len(intrinsics), versions, folder, partial)
    rows = np.array(numbers) % len(intrinsics)
    shots = [f"{split}/{row:08d}" for row in range(len(intrinsics))]
    groups = _read_groups(root, split, shots)
    with Image.open(folder / f"{numbers[0]:08d}.jpg") as picture:
        side = picture.width
    given: dict[str, Any] = {"boxes": np.tile(np.array([0.0, 0, side, side]), (len(rows), 1))}
    if labels is not None:
        given = _labels_of(labels, rows, mano)
    return build_manifest(
        "freihand",
        split,
        root,
        ids=[f"{split}/{n:08d}" for n in numbers],
        images=[f"{split}/rgb/{n:08d}.jpg" for n in numbers],
        shots=[groups[row] for row in rows.tolist()],
        groups=[groups[row] for row in rows.tolist()],
        intrinsics=intrinsics[rows],
        image_side=side,
        **given,
    )


def _labels_of(labels: FreiHandLabels, rows: np.ndarray, mano: ManoHand) -> dict[str, Any]:
    pixels = labels.xyz @ labels.K.transpose(0, 2, 1)
    joints_2d = pixels[..., :2] / pixels[..., 2:]
    betas = labels.mano[:, 48:58]
    wrist_at_rest = mano.rest_joints(torch.from_numpy(betas.copy()))[:, 0].numpy()
    return {
        "boxes": box_around(joints_2d)[rows],
        "joints_2d": joints_2d[rows],
        "joints_3d": labels.xyz[rows],
        "mano_pose": labels.mano[rows, :48],
        "betas": betas[rows],
        "translation": (labels.xyz[:, 0] - wrist_at_rest)[rows],
        "flat_hand_mean": False,
        "vertices": labels.verts[rows],
        "flags": {"root_offset": _root_offset(labels)[rows]},
    }


def _root_offset(labels: FreiHandLabels) -> Float[np.ndarray, " samples"]:
    """Metres from the root joint of `xyz` to where `mano` has it, which depends on the camera.

    Nothing is placed by `mano`'s root; the offset shows a camera that is not the labels'.
    """
    pixel, scale = labels.mano[:, 58:60], labels.mano[:, 60:]
    focal = (labels.K[:, 0, 0] + labels.K[:, 1, 1]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.column_stack([pixel - labels.K[:, :2, 2], focal]) / scale
    away = np.linalg.norm(root - labels.xyz[:, ROOT_JOINT], axis=-1)
    return np.nan_to_num(away, nan=np.float64(1e9), posinf=np.float64(1e9)).astype(np.float32)


def _images_of_versions(
    numbers: list[int], unique: int, versions: Sequence[int] | None, folder: Path, partial: bool
) -> list[int]:
    if not numbers:
        raise DataSetError(f"no images in {folder}; expected 00000000.jpg and on")
    chosen = [n for n in numbers if versions is None or n // unique in versions]
    used = {n // unique for n in chosen} | set(versions or ())
    wanted = [n for v in sorted(used) for n in range(v * unique, (v + 1) * unique)]
    absent = [f"{n:08d}.jpg" for n in sorted(set(wanted) - set(chosen))]
    grounds = f"images of version {', '.join(map(str, sorted(used)))}"
    settle_absent(folder, grounds, absent, len(wanted), partial)
    return chosen


def read_labels(root: Path, split: str) -> FreiHandLabels:
    """Read and check a split's label files.

    Raises:
        DataSetError: a file is missing, cut short, ragged, not finite, or of another count.
    """
    arrays = {name: _read_array(root / f"{split}_{name}.json", _SHAPES[name]) for name in LABELS}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1:
        raise DataSetError(
            f"the {split} label files of {root} disagree on the number of samples: {counts}; "
            "they must come from one release"
        )
    return FreiHandLabels(**arrays)


def _read_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    if not path.is_file():
        raise DataSetError(
            f"no {path}; expected FreiHAND's folder (FreiHAND_pub_v2, and FreiHAND_pub_v2_eval "
            "for evaluation labels) or one written by `python -m hand_pipeline synth`"
        )
    nested = shape == (61,)  # FreiHAND nests these: [[61 numbers]]
    array = read_rows(path, (1, *shape) if nested else shape).reshape(-1, *shape)
    if not len(array):
        raise DataSetError(f"{path} holds no sample; copy it again")
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
    if bad.size:
        raise DataSetError(f"{path}: {bad.size} samples are not finite, the first is {bad[0]}")
    return array


def _read_groups(root: Path, split: str, shots: list[str]) -> list[str]:
    """The samples' groups where the set names any; else each is its own."""
    path = root / f"{split}_groups.json"
    if not path.is_file():
        return shots
    groups = json.loads(path.read_text())
    if not isinstance(groups, list) or len(groups) != len(shots):
        raise DataSetError(f"{path} should list a group for each of {len(shots)} samples")
    return [f"{split}/{group}" for group in groups]


def write_groups(root: Path, split: Split, groups: Sequence[str]) -> None:
    """Write which samples stay together, whole or not at all."""
    atomic_write_text(root / f"{split}_groups.json", json.dumps(list(groups)))


def labels_of(
    pose: Float[Tensor, "samples 16 3 3"],
    betas: Float[Tensor, "samples 10"],
    vertices: Float[Tensor, "samples 778 3"],
    joints: Float[Tensor, "samples 21 3"],
    intrinsics: Float[Tensor, "samples 3 3"],
    mano: ManoHand,
) -> FreiHandLabels:
    """FreiHAND's labels of posed hands.

    Args:
        pose: full pose.
        betas: shape.
        vertices, joints: camera frame, metres; joints with FreiHAND's tips.
        intrinsics: camera.
        mano: the hand model.
    """
    numbers = mano_numbers(pose, betas, joints, intrinsics, mano).astype(np.float32)
    points = joints.numpy()
    length = np.linalg.norm(points[:, 9] - points[:, 10], axis=1)
    return FreiHandLabels(intrinsics.numpy(), numbers, length, vertices.numpy(), points)


def mano_numbers(
    pose: Float[Tensor, "samples 16 3 3"],
    betas: Float[Tensor, "samples 10"],
    joints: Float[Tensor, "samples 21 3"],
    intrinsics: Float[Tensor, "samples 3 3"],
    mano: ManoHand,
) -> Float[np.ndarray, "samples 61"]:
    """FreiHAND's 61 numbers: pose without mean, betas, pixel of joint 9, s = f / depth of joint 9.

    The hand is placed so that its joint 9 lies at ((uv - principal point), f) / s with
    f = (fx + fy) / 2 (the authors' `model.py`).
    """
    root = joints[:, ROOT_JOINT]
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    scale = focal / root[:, 2]
    pixel = root[:, :2] * scale[:, None] + intrinsics[:, :2, 2]
    stored = mano.stored_pose(pose, flat_hand_mean=False)
    return torch.cat([stored, betas, pixel, scale[:, None]], dim=1).double().numpy()


def write_labels(root: Path, split: Split, labels: FreiHandLabels) -> None:
    """Write a split's label files, each whole or not at all, in FreiHAND's form."""
    for name in LABELS:
        array = getattr(labels, name)
        rows = array[:, None] if name == "mano" else array  # FreiHAND nests these: [[61 numbers]]
        atomic_write_text(root / f"{split}_{name}.json", "".join(_json_rows(rows)))


def _json_rows(rows: np.ndarray) -> Iterator[str]:
    """JSON with 7 decimals, a tenth of a micrometre: a third of the bytes of full doubles."""
    for index, row in enumerate(rows):
        yield ("[" if index == 0 else ", ") + json.dumps(_rounded(row.tolist()))
    yield "]"


def _rounded(values: Any) -> Any:
    return [_rounded(v) for v in values] if isinstance(values, list) else round(values, 7)
