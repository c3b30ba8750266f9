"""2D joints that a detector saw in the images of a labelled set: a file of them, and a wrapper
that hands them to whoever learns from the set."""

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch.utils.data import Dataset

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.hand_dataset import HandDataset, LabelledSubset
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import HandMix
from hand_pipeline.data.loader import OrderedDataset
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.files import atomic_write

Missing = Literal["error", "none"]
_ARRAYS = {"ids", "points", "confidence", "image_size", "settings"}
_NAMED = 5  # ids in a message


@dataclass(frozen=True)
class DetectedKeypoints:
    """2D joints of the hands of one split of a set, OpenPose order.

    Attributes:
        ids: of the hands, as in the set.
        points: px of the image that the set gives before any augmentation (`HandImages`: the
            crop, in which a left hand is mirrored); left edge 0. Zero where nothing was found.
        confidence: 0 (not found) to 1.
        image_size: side of those images, px.
        settings: which detector, and its settings; anything JSON can hold.
        points_3d: metres about some centre of the hand, in the axes of the images' camera; zero
            where nothing was found. None of a detector that sees no depth.
    """

    ids: tuple[str, ...]
    points: Float[np.ndarray, "hands 21 2"]
    confidence: Float[np.ndarray, "hands 21"]
    image_size: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    points_3d: Float[np.ndarray, "hands 21 3"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __post_init__(self) -> None:
        """Refuse what no detector can have seen.

        Raises:
            DataSetError: counts differ, an id comes twice, a value is not finite, or a confidence
                lies outside 0 to 1.
        """
        shapes = [self.points.shape, self.confidence.shape]
        expected = [(len(self), 21, 2), (len(self), 21)]
        if self.points_3d is not None:
            shapes.append(self.points_3d.shape)
            expected.append((len(self), 21, 3))
        if shapes != expected:
            raise DataSetError(
                f"expected 21 points and confidences of {len(self)} hands, got arrays of {shapes}"
            )
        if len(self._rows) != len(self):
            raise DataSetError(f"{len(self) - len(self._rows)} hands have the id of another one")
        finite = np.isfinite(self.points).all(axis=(1, 2))
        if self.points_3d is not None:
            finite &= np.isfinite(self.points_3d).all(axis=(1, 2))
        with np.errstate(invalid="ignore"):
            allowed = ((self.confidence >= 0) & (self.confidence <= 1)).all(axis=1)
        if (bad := np.flatnonzero(~(finite & allowed))).size:
            raise DataSetError(
                f"{bad.size} hands have points that are not finite or confidences outside 0 to 1, "
                f"the first is {self.ids[bad[0]]}"
            )

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.ids)}

    @property
    def found(self) -> np.ndarray:
        """Hands of which at least one joint was found, shape (hands,)."""
        found: np.ndarray = np.any(self.confidence > 0, axis=1)
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all points and of how they were made."""
        head = json.dumps([self.image_size, dict(self.settings)], sort_keys=True)
        digest = hashlib.sha256("\0".join([head, *self.ids]).encode())
        deep = () if self.points_3d is None else (self.points_3d,)
        for values in (self.points, self.confidence, *deep):
            digest.update(np.ascontiguousarray(values, dtype=np.float32).tobytes())
        return digest.hexdigest()

    def resized(self, image_size: int) -> "DetectedKeypoints":
        """The same in the same pictures of another size, px."""
        scale = image_size / self.image_size
        return replace(self, points=self.points * scale, image_size=image_size)

    def missing(self, ids: Sequence[str]) -> list[str]:
        """Those of the ids that are not here."""
        return [name for name in ids if name not in self._rows]

    def of(self, ids: Sequence[str], missing: Missing = "error") -> Keypoints:
        """Joints of some hands, in the order given.

        Args:
            ids: of the hands.
            missing: "none" gives hands that are not here the confidence 0.

        Raises:
            DataSetError: a hand is not here.
        """
        if missing == "error" and (absent := self.missing(ids)):
            raise DataSetError(_absent(absent, len(ids)))
        rows = np.array([self._rows.get(name, -1) for name in ids], dtype=np.int64)
        there = torch.from_numpy(rows >= 0)[:, None]
        if not len(self):
            return Keypoints(torch.zeros(len(ids), 21, 2), torch.zeros(len(ids), 21))
        points = torch.from_numpy(self.points[rows].astype(np.float32))
        confidence = torch.from_numpy(self.confidence[rows].astype(np.float32))
        deep = None
        if self.points_3d is not None:
            deep = torch.from_numpy(self.points_3d[rows].astype(np.float32)) * there[..., None]
        return Keypoints(points * there[..., None], confidence * there, deep)


class WithKeypoints(Dataset[Any]):
    """A set whose batches carry what a detector saw; a `hand_dataset.HandDataset` itself.

    Points are attached by the ids of a batch, so it does not matter what stands between: a labelled
    fraction, a mix (whose ids have a prefix: `joined`), or a photo that took a broken one's place.

    Args:
        hands: the set.
        keypoints: of its images.
        missing: "none" gives hands that the file lacks the confidence 0; they are counted.

    Attributes:
        num_missing: hands of the set that the file lacks.

    Raises:
        DataSetError: the file lacks hands of the set, and that is not allowed.
    """

    def __init__(
        self, hands: HandDataset, keypoints: DetectedKeypoints, missing: Missing = "error"
    ) -> None:
        absent = keypoints.missing(hands.ids)
        if absent and missing == "error":
            raise DataSetError(_absent(absent, len(hands.ids)))
        self.hands, self.keypoints, self.missing = hands, keypoints, missing
        self.num_missing = len(absent)
        self.ids, self.unique_ids = hands.ids, hands.unique_ids
        if isinstance(hands, OrderedDataset):
            self.epoch_order = hands.epoch_order

    def __len__(self) -> int:
        return len(self.hands)

    def __getitem__(self, index: int) -> Any:
        return self.hands[index]

    def collate(self, samples: Sequence[Any]) -> HandBatch:
        """The set's batch with its keypoints.

        Raises:
            DataSetError: the images have another size than those that the detector saw.
        """
        batch = self.hands.collate(samples)
        size = self.keypoints.image_size
        if batch.images.shape[-2:] != (size, size):
            height, width = batch.images.shape[-2:]
            raise DataSetError(
                f"the keypoints are pixels of images of {size} x {size}, these are {width} x "
                f"{height}; detect again with the crops of this run (crop_scale, crop_size)"
            )
        return replace(batch, keypoints=self.keypoints.of(batch.ids, self.missing))

    def held_out(self) -> "WithKeypoints | None":
        """The set's hands for validation with their keypoints; None if it holds out none."""
        if not isinstance(self.hands, HandMix | LabelledSubset):
            return None
        hands = self.hands.held_out()
        return None if hands is None else WithKeypoints(hands, self.keypoints, self.missing)

    @property
    def fingerprint(self) -> str:
        """Hash of the set, of the keypoints and of what becomes of missing ones."""
        parts = f"{self.hands.fingerprint} {self.keypoints.fingerprint} {self.missing}"
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def crop_scale(self) -> float:
        """As of the set."""
        return self.hands.crop_scale


def nothing_detected(ids: Sequence[str], image_size: int) -> DetectedKeypoints:
    """Keypoints of hands in which nobody has looked: not one was found."""
    count = len(ids)
    return DetectedKeypoints(
        ids=tuple(ids),
        points=np.zeros((count, 21, 2), np.float32),
        confidence=np.zeros((count, 21), np.float32),
        image_size=image_size,
        settings={"detector": "none"},
    )


def joined(members: Mapping[str, DetectedKeypoints]) -> DetectedKeypoints:
    """Keypoints of the members of a `hand_mix.HandMix`, under the mix's ids.

    Raises:
        DataSetError: none are given, or their images are of several sizes.
    """
    sizes = {name: member.image_size for name, member in members.items()}
    if len(set(sizes.values())) != 1:
        raise DataSetError(f"sets in one batch need images of one size, got keypoints of {sizes}")
    return DetectedKeypoints(
        ids=tuple(f"{name}/{each}" for name, member in members.items() for each in member.ids),
        points=np.concatenate([member.points for member in members.values()]),
        confidence=np.concatenate([member.confidence for member in members.values()]),
        image_size=next(iter(sizes.values())),
        settings={name: dict(member.settings) for name, member in members.items()},
        points_3d=_joined_depths(list(members.values())),
    )


def _joined_depths(members: Sequence[DetectedKeypoints]) -> Float[np.ndarray, "hands 21 3"] | None:
    if all(member.points_3d is None for member in members):
        return None
    return np.concatenate([
        np.zeros((len(member), 21, 3), np.float32) if member.points_3d is None else member.points_3d
        for member in members
    ])  # fmt: skip


def keypoints_of(
    folder: Path,
    hands: HandDataset,
    split: str = "training",
    files: Mapping[str, Path] | None = None,
) -> DetectedKeypoints:
    """What the pipeline `detect` found in a set, or in all sets of a mix.

    Args:
        folder: `hand_keypoints` of the catalog: a file for each split, and one for each further
            set (`detect.sets`) under its name.
        hands: of a mix, whose members' names are those of the files; or of the catalog's set.
        split: of the catalog's set.
        files: of members whose file lies elsewhere (`MixConfig.keypoint_files`).

    Raises:
        DataSetError: see `read_keypoints`.
    """
    if not isinstance(hands, HandMix):
        return read_keypoints(folder, split)
    found = {}
    for name, member in zip(hands.names, hands.members):
        file = (files or {}).get(name, folder / f"{name}.npz")
        found[name] = _in_crops(read_keypoints(file.parent, file.stem), member)
    return joined(found)


def _in_crops(keypoints: DetectedKeypoints, member: HandDataset) -> DetectedKeypoints:
    """In px of the member's crops, where these are whole pictures and only their size differs."""
    hands = member.hands if isinstance(member, LabelledSubset) else member
    if isinstance(hands, HandImages) and hands.manifest.image_side == keypoints.image_size:
        return keypoints.resized(hands.crop_size)
    return keypoints


def write_keypoints(folder: Path, name: str, keypoints: DetectedKeypoints) -> None:
    """Write the npz of a split or set, whole or not at all."""
    deep: dict[str, Any] = {}
    if keypoints.points_3d is not None:
        deep["points_3d"] = keypoints.points_3d.astype(np.float32)
    with atomic_write(folder / f"{name}.npz") as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            ids=np.array(keypoints.ids, dtype=np.str_),
            points=keypoints.points.astype(np.float32),
            confidence=keypoints.confidence.astype(np.float32),
            image_size=np.array(keypoints.image_size),
            settings=np.array(json.dumps(dict(keypoints.settings), sort_keys=True)),
            **deep,
        )


def read_keypoints(folder: Path, name: str) -> DetectedKeypoints:
    """Read what `write_keypoints` wrote.

    Raises:
        DataSetError: the file is missing, damaged, or another kind of file.
    """
    path = folder / f"{name}.npz"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            values = {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise DataSetError(
            f"no {path}; run the pipeline `detect` first{_of_a_mix(name)}"
        ) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataSetError(
            f"{path} is damaged or no npz file ({error}); run the pipeline `detect` again"
        ) from error
    if set(values) - {"points_3d"} != _ARRAYS:
        has = ", ".join(sorted(values))
        raise DataSetError(f"{path} holds no keypoints: expected {sorted(_ARRAYS)}, it has {has}")
    try:
        return DetectedKeypoints(
            ids=tuple(values["ids"].tolist()),
            points=values["points"],
            confidence=values["confidence"],
            image_size=int(values["image_size"]),
            settings=json.loads(str(values["settings"])),
            points_3d=values.get("points_3d"),
        )
    except ValueError as error:
        raise DataSetError(f"{path}: {error}; run the pipeline `detect` again") from error


def _of_a_mix(name: str) -> str:
    return "" if name in ("training", "evaluation") else f" (with {name} in detect.sets)"


def _absent(absent: Sequence[str], count: int) -> str:
    named = ", ".join(absent[:_NAMED]) + (", ..." if len(absent) > _NAMED else "")
    return (
        f"the keypoints lack {len(absent)} of {count} hands ({named}); they are of another set or "
        'split: run the pipeline `detect` again, or allow it with missing="none"'
    )
