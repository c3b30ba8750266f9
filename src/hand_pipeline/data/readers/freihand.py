"""FreiHAND (Zimmermann et al. 2019, version 2): its exact layout on disk, read and written.

    training/rgb/%08d.jpg    training/mask/%08d.jpg    training_{K,mano,scale,verts,xyz}.json
    evaluation/rgb/%08d.jpg                            evaluation_{K,mano,scale,verts,xyz}.json

Right hands, metres, OpenCV camera frame, OpenPose joint order with FreiHAND's own fingertip
vertices. Sample i of the real training set has four images, i + 32560 v, with backgrounds v.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.files import atomic_write_text, file_hash
from hand_pipeline.geometry.mano import ManoHand

Split = Literal["training", "evaluation"]
LABELS = ("K", "mano", "scale", "verts", "xyz")
ROOT_JOINT = 9  # `mano` places the hand by its middle knuckle
SCALE_BONE = (9, 10)  # `scale` is this bone's length
TIPS = "freihand"
_SHAPES = {"K": (3, 3), "mano": (61,), "scale": (), "verts": (778, 3), "xyz": (21, 3)}


class FreiHandError(ValueError):
    """The folder is not FreiHAND's, or a part is missing or broken; the message says which."""


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


class TensorLabels(NamedTuple):
    """Labels as `HandBatch` wants them: of a split, or of one sample."""

    intrinsics: Float[Tensor, "*samples 3 3"]
    joints_2d: Float[Tensor, "*samples 21 2"]
    joints_3d: Float[Tensor, "*samples 21 3"]
    vertices: Float[Tensor, "*samples 778 3"]
    mano_pose: Float[Tensor, "*samples 16 3 3"]
    betas: Float[Tensor, "*samples 10"]


class HandSample(NamedTuple):
    """One image with its labels."""

    image: UInt8[Tensor, "3 height width"]
    name: str
    labels: TensorLabels


class FreiHandDataset(Dataset[HandSample]):
    """A split of FreiHAND, or of a set written in its layout.

    Args:
        root: the folder that holds `training/` and `evaluation/`.
        split: which of them.
        mano: hand model whose mean pose the stored poses are relative to; default the open hand.
        versions: backgrounds of the real training set to use, of 0 (green screen), 1 (harmonised),
            2 and 3 (colourised); None: all that are there.

    Raises:
        FreiHandError: labels or images are missing, cut short or of another count.
    """

    def __init__(
        self,
        root: Path | str,
        split: Split,
        mano: ManoHand | None = None,
        versions: Sequence[int] | None = None,
    ) -> None:
        self.root, self.split = Path(root), split
        self.labels = to_tensors(read_labels(self.root, split), mano or ManoHand(tips=TIPS))
        unique = len(self.labels.intrinsics)
        numbers = sorted(int(p.stem) for p in (self.root / split / "rgb").glob("*.jpg"))
        self.numbers = _images_of_versions(numbers, unique, versions, self.root / split)
        self.ids = [f"{split}/{n:08d}" for n in self.numbers]
        self.unique_ids = [f"{split}/{n % unique:08d}" for n in self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> HandSample:
        number = self.numbers[index]
        path = self.root / self.split / "rgb" / f"{number:08d}.jpg"
        try:
            with Image.open(path) as picture:
                pixels = np.array(picture.convert("RGB"))
        except OSError as error:
            raise FreiHandError(
                f"{path} cannot be read ({error}); copy it again from the data set's archive"
            ) from error
        image = torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
        row = number % len(self.labels.intrinsics)
        labels = TensorLabels(*(values[row] for values in self.labels))
        return HandSample(image, self.ids[index], labels)

    @property
    def fingerprint(self) -> str:
        """Hash of the label files and of which images there are."""
        files = [file_hash(self.root / f"{self.split}_{name}.json") for name in LABELS]
        return hashlib.sha256(json.dumps([files, self.numbers]).encode()).hexdigest()

    @staticmethod
    def collate(samples: Sequence[HandSample]) -> HandBatch:
        """A batch of samples of one split; every label is there, so every flag is True."""
        count = len(samples)
        labels = TensorLabels(*(torch.stack(rows) for rows in zip(*(s.labels for s in samples))))
        joints = torch.ones(count, 21, dtype=torch.bool)
        whole = torch.ones(count, dtype=torch.bool)
        return HandBatch(
            ids=tuple(s.name for s in samples),
            images=torch.stack([s.image for s in samples]),
            **labels._asdict(),
            has_joints_2d=joints,
            has_joints_3d=joints,
            has_mano=whole,
            has_vertices=whole,
        )


def _images_of_versions(
    numbers: list[int], unique: int, versions: Sequence[int] | None, folder: Path
) -> list[int]:
    if not numbers:
        raise FreiHandError(f"no images in {folder / 'rgb'}; expected 00000000.jpg and on")
    chosen = [n for n in numbers if versions is None or n // unique in versions]
    for version in sorted({n // unique for n in chosen} | set(versions or ())):
        found = {n for n in chosen if n // unique == version}
        missing = sorted(set(range(version * unique, (version + 1) * unique)) - found)
        if missing:
            raise FreiHandError(
                f"{folder / 'rgb'} lacks {len(missing)} of the {unique} images of version "
                f"{version}, the first {missing[0]:08d}.jpg; copy them, or leave the version out"
            )
    return chosen


def read_labels(root: Path, split: Split) -> FreiHandLabels:
    """Read and check a split's label files.

    Raises:
        FreiHandError: a file is missing, cut short, ragged, not finite, or of another count.
    """
    arrays = {name: _read_array(root / f"{split}_{name}.json", _SHAPES[name]) for name in LABELS}
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) != 1 or not counts["K"]:
        raise FreiHandError(
            f"the {split} label files of {root} disagree on the number of samples: {counts}; "
            "they must come from one release"
        )
    return FreiHandLabels(**arrays)


def _read_array(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    if not path.is_file():
        raise FreiHandError(
            f"no {path}; expected FreiHAND's folder (FreiHAND_pub_v2, and FreiHAND_pub_v2_eval "
            "for evaluation labels) or one written by `python -m hand_pipeline synth`"
        )
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise FreiHandError(f"{path} is cut short or no JSON ({error}); copy it again") from error
    try:
        array = np.array(values, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise FreiHandError(
            f"{path} is ragged: expected {shape} numbers a sample ({error})"
        ) from error
    array = array.reshape(len(array), *shape) if array[:1].size == np.prod(shape) else array
    if array.shape[1:] != shape:
        raise FreiHandError(f"{path}: expected {shape} numbers a sample, got {array.shape[1:]}")
    bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
    if bad.size:
        raise FreiHandError(f"{path}: {bad.size} samples are not finite, the first is {bad[0]}")
    return array


def to_tensors(labels: FreiHandLabels, mano: ManoHand) -> TensorLabels:
    """Labels in the project's conventions: full poses as matrices, projected 2D joints."""
    intrinsics, joints = torch.from_numpy(labels.K), torch.from_numpy(labels.xyz)
    numbers = torch.from_numpy(labels.mano)
    pixels = joints @ intrinsics.mT
    return TensorLabels(
        intrinsics=intrinsics,
        joints_2d=pixels[..., :2] / pixels[..., 2:],
        joints_3d=joints,
        vertices=torch.from_numpy(labels.verts),
        mano_pose=mano.full_pose(numbers[:, :48], flat_hand_mean=False),
        betas=numbers[:, 48:58].clone(),
    )


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
