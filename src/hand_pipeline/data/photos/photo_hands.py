"""Crops of photos with what the detector saw in them: hands to learn from without labels."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.shards.crops import CropDataset
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.geometry.camera import default_intrinsics


class PhotoHandsConfig(Config):
    """Which crops are learnt from. The others are skipped, and counted by the first rule broken."""

    min_score: float = Field(
        0.5, ge=0, le=1, description="the detector's confidence in the hand at least; our choice"
    )
    min_joints: int = Field(
        16, ge=1, le=21, description="joints inside the photo at least; our choice"
    )
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the photos that are for measuring, by their content"
    )


class SeenCrop(NamedTuple):
    """What is known of a crop; pixels are the crop's.

    Attributes:
        position: in the shards.
        points, confidence: what the detector saw; 0 where a joint lies outside the photo.
        intrinsics: camera of the crop, which shows left hands mirrored.
        guessed: whether the photo's camera is `geometry.camera.default_intrinsics`.
    """

    position: int
    points: Float[np.ndarray, "21 2"]
    confidence: Float[np.ndarray, "21"]
    intrinsics: Float[Tensor, "3 3"]
    guessed: bool


class PhotoHands(Dataset[tuple[UInt8[Tensor, "3 height width"], int]]):
    """The crops of `data.photos.collect` as a `hand_dataset.HandDataset` without labels.

    Every label flag of a batch is False; `keypoints` holds the landmarks, each with the detector's
    confidence in the hand, or 0 where it lies outside the photo. Where a photo's camera is not
    known (`intrinsics` in a crop's record, px of the photo) it is the default one; `guessed` says
    of which crops.

    A crop is skipped if it has no landmarks (`without_detection`), a hand that the detector was
    less sure of than `min_score` (`unsure`), or fewer joints inside the photo than `min_joints`
    (`outside`). `skipped` counts them.

    Args:
        shards: the crops.
        cfg: which are used.
        held_out: the share kept for measuring, or the rest.

    Raises:
        DataSetError: no crop is left.
    """

    def __init__(self, shards: ShardReader, cfg: PhotoHandsConfig, held_out: bool = False) -> None:
        self.crops, self.cfg, self.held_out = CropDataset(shards), cfg, held_out
        self.skipped: Counter[str] = Counter()
        self.seen: list[SeenCrop] = []
        for position in range(len(shards)):
            meta = shards.meta(position)
            if (
                _is_held_out(str(meta.get("sha256", shards.keys[position])), cfg.held_out)
                != held_out
            ):
                continue
            found = self._read(position, meta)
            if isinstance(found, str):
                self.skipped[found] += 1
            else:
                self.seen.append(found)
        if not self.seen:
            side, knob = ("to measure on", "raise") if held_out else ("to learn from", "lower")
            raise DataSetError(
                f"{shards.directory} has {len(shards)} crops, but none {side}; skipped: "
                f"{dict(self.skipped) or 'none'}; collect more photos (data/01_raw/photos), {knob} "
                f"held_out ({cfg.held_out}), or lower min_score and min_joints"
            )
        self.ids = [shards.keys[each.position] for each in self.seen]
        self.unique_ids = self.ids

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, index: int) -> tuple[UInt8[Tensor, "3 height width"], int]:
        return self.crops[self.seen[index].position][0], index

    def collate(self, samples: Sequence[tuple[Tensor, int]]) -> HandBatch:
        """One batch; images as stored."""
        seen = [self.seen[row] for _, row in samples]
        count = len(seen)
        nothing = torch.zeros(count, dtype=torch.bool)
        none_of_21 = torch.zeros(count, 21, dtype=torch.bool)
        points, sure = (np.stack([getattr(e, n) for e in seen]) for n in ("points", "confidence"))
        return HandBatch(
            ids=tuple(self.ids[row] for _, row in samples),
            images=torch.stack([image for image, _ in samples]).contiguous(),
            intrinsics=torch.stack([each.intrinsics for each in seen]),
            joints_2d=torch.zeros(count, 21, 2),
            joints_3d=torch.zeros(count, 21, 3),
            vertices=torch.zeros(count, 778, 3),
            mano_pose=torch.zeros(count, 16, 3, 3),
            betas=torch.zeros(count, 10),
            has_joints_2d=none_of_21,
            has_joints_3d=none_of_21,
            has_mano=nothing,
            has_vertices=nothing,
            keypoints=Keypoints(torch.from_numpy(points), torch.from_numpy(sure)),
        )

    @property
    def guessed(self) -> Bool[np.ndarray, " crops"]:
        """Hands whose camera, hence depth, is a guess."""
        return np.array([each.guessed for each in self.seen])

    @property
    def sets(self) -> list[str]:
        """The set that each hand's photo is of."""
        return [str(self.crops.reader.meta(each.position).get("set", "")) for each in self.seen]

    @property
    def fingerprint(self) -> str:
        """Hash of all crops and of which are used."""
        parts = f"{self.crops.reader.fingerprint}{self.cfg.model_dump_json()}{self.held_out}"
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def crop_scale(self) -> float:
        """Median side of a crop over the longer side of the landmarks in it."""
        spans = np.stack([np.ptp(each.points, axis=0).max() for each in self.seen])
        return float(self._side / np.median(spans))

    @property
    def _side(self) -> int:
        return int(self.crops[self.seen[0].position][0].shape[-1])

    def _read(self, position: int, meta: dict[str, Any]) -> SeenCrop | str:
        """What is known of a crop, or why it is skipped."""
        points = np.asarray(meta.get("landmarks_2d", ()), dtype=np.float32)
        if points.shape != (21, 2) or not np.isfinite(points).all():
            return "without_detection"
        score = float(meta["score"])
        if score < self.cfg.min_score:
            return "unsure"
        matrix = np.array(meta["matrix"])  # photo px to crop px
        back = np.linalg.inv(matrix)
        in_photo = points @ back[:2, :2].T + back[:2, 2]
        width, height = meta["photo_size"]
        inside = ((in_photo >= 0) & (in_photo <= (width, height))).all(1)
        if inside.sum() < self.cfg.min_joints:
            return "outside"
        confidence = np.where(inside, score, 0).astype(np.float32)
        guessed = meta.get("intrinsics") is None
        return SeenCrop(position, points, confidence, crop_intrinsics(meta), guessed)


def crop_intrinsics(meta: dict[str, Any]) -> Float[Tensor, "3 3"]:
    """Camera of a crop, which shows a left hand mirrored; the default one if it is not known.

    Args:
        meta: of the crop (`data.photos.collect`).
    """
    known = meta.get("intrinsics")
    camera = default_intrinsics(*meta["photo_size"]) if known is None else torch.tensor(known)
    # A mirrored crop is the image of the mirrored scene: A K X = (A K D) (D X).
    side = torch.tensor([-1.0 if meta["mirrored"] else 1.0, 1.0, 1.0])
    return torch.tensor(meta["matrix"], dtype=torch.float32) @ camera.float() * side


def _is_held_out(photo: str, share: float) -> bool:
    """All hands of a photo go the same way, whatever else is in the set.

    Groups (`data.photos.files.Photo.group`) are split, as many sets have one alone: frames of a
    video may lie on both sides.
    """
    number = int(hashlib.sha256(photo.encode()).hexdigest()[:8], 16)
    return number < share * 2**32
