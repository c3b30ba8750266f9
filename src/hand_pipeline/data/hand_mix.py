"""Several labelled sets as one: each drawn by its weight, whatever its size."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.hand_dataset import HandDataset, LabelledSubset, LabelsConfig, is_of
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import hand_of, read_hands
from hand_pipeline.geometry.mano import ManoHand


class MixMember(Config):
    """A data set in a mix."""

    path: Path = Field(description="folder of the set, as docs/datasets.md shows it")
    split: str = Field(description="split of the set, in its own words")
    weight: float = Field(1.0, gt=0, description="share of the samples, relative to the others'")
    hand_set: str | None = Field(
        None, description="key of `hand_sets.HAND_SETS`; null: the member's own name"
    )
    partial: bool = Field(
        False, description="go on where the folder lacks photos or other parts of the set"
    )
    keypoints: Path | None = Field(
        None,
        description="npz of what a detector saw in its pictures, as `detect` and `pseudo_label` "
        "write it; null: `detect` has looked at the set (`detect.sets`)",
    )


class MixConfig(HandCropConfig):
    """Which labelled sets a run learns from, and how their crops are cut.

    With no sets, the run learns from the one labelled set that the catalog names.
    """

    sets: dict[str, MixMember] = Field(default_factory=dict, description="by name")

    @property
    def keypoint_files(self) -> dict[str, Path]:
        """Of the sets that name one."""
        named = {name: member.keypoints for name, member in self.sets.items()}
        return {name: path for name, path in named.items() if path is not None}


class MixSample(NamedTuple):
    """A sample of one of the sets."""

    member: int
    sample: Any


class HandMix(Dataset[MixSample]):
    """Labelled sets in one; a `hand_dataset.HandDataset`.

    An epoch has as many samples as all sets together; each set has its weight's share of them. A
    set's own samples come in permutations one after the other, without end, so none comes twice
    before all have come once.

    Args:
        members: the sets by name; images of one size.
        weights: of each set, relative.

    Raises:
        ValueError: no sets, or weights for other ones.
    """

    def __init__(self, members: Mapping[str, HandDataset], weights: Mapping[str, float]) -> None:
        if not members or set(members) != set(weights):
            raise ValueError(
                f"expected weights for the sets {', '.join(members) or '(none)'}, got weights for "
                f"{', '.join(weights) or '(none)'}"
            )
        self.names, self.members = list(members), list(members.values())
        self.lengths = [len(member) for member in self.members]
        self.counts = shares_of_epoch(self.lengths, [weights[name] for name in self.names])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        named = list(zip(self.names, self.members))
        self.ids = [f"{name}/{i}" for name, member in named for i in member.ids]
        self.unique_ids = [f"{name}/{i}" for name, member in named for i in member.unique_ids]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: int) -> MixSample:
        which = int(np.searchsorted(self.starts, index, side="right")) - 1
        return MixSample(which, self.members[which][index - int(self.starts[which])])

    def epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        """Samples of an epoch in the order they are drawn; see `loader.OrderedDataset`."""
        return mixed_order(self.lengths, self.counts, seed, epoch)

    def held_out(self) -> "HandMix | None":
        """The shots that the sets hold out for validation; None if they hold out none."""
        parts = dict[str, HandDataset]()
        for name, member in zip(self.names, self.members):
            if hasattr(member, "held_out") and (part := member.held_out()) is not None:
                parts[name] = part
        return HandMix(parts, dict.fromkeys(parts, 1.0)) if parts else None

    def collate(self, samples: Sequence[MixSample]) -> HandBatch:
        """One batch of hands of several sets, in the order of the samples."""
        order, parts = [], []
        for which, member in enumerate(self.members):
            places = [i for i, sample in enumerate(samples) if sample.member == which]
            if places:
                order += places
                part = member.collate([samples[i].sample for i in places])
                names = tuple(f"{self.names[which]}/{name}" for name in part.ids)
                parts.append(replace(part, ids=names))
        return join_batches(parts, order)

    @property
    def fingerprint(self) -> str:
        """Hash of the sets and of their shares."""
        parts = [
            f"{n} {c} {m.fingerprint}" for n, c, m in zip(self.names, self.counts, self.members)
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def crop_scale(self) -> float:
        """Mean over the samples drawn."""
        scales = [member.crop_scale for member in self.members]
        return float(np.average(scales, weights=self.counts))


def shares_of_epoch(
    lengths: Sequence[int], weights: Sequence[float]
) -> Int[np.ndarray, " members"]:
    """Samples of each set in an epoch, which has as many as all sets together; at least 1 each."""
    share = np.array(weights, dtype=np.float64)
    count = np.round(share / share.sum() * sum(lengths))
    return np.maximum(1, count).astype(np.int64)


def mixed_order(
    lengths: Sequence[int], counts: Int[np.ndarray, " members"], seed: int, epoch: int
) -> Int[np.ndarray, " samples"]:
    """Samples of an epoch of several sets laid end to end; a function of (seed, epoch).

    Args:
        lengths: samples of each set.
        counts: how many of each an epoch holds (`shares_of_epoch`). They are the next part of the
            set's endless row of permutations.
    """
    starts = np.concatenate([[0], np.cumsum(lengths)])
    drawn = []
    for which, (length, count) in enumerate(zip(lengths, counts.tolist())):
        first = epoch * count
        rounds = range(first // length, (first + count - 1) // length + 1)
        row = np.concatenate(
            [np.random.default_rng((seed, which, n)).permutation(length) for n in rounds]
        )
        skip = first - rounds.start * length
        drawn.append(row[skip : skip + count] + starts[which])
    return np.random.default_rng((seed, epoch)).permutation(np.concatenate(drawn))


def open_training_hands(
    labelled_hands: Path,
    mix: MixConfig,
    labels: LabelsConfig,
    mano_model: Path | None,
    bad_photos: Path | None = None,
) -> HandMix | LabelledSubset:
    """What a run learns from: a mix, or the one set in FreiHAND's layout.

    Args:
        labelled_hands: folder of that set; not looked at where the mix names sets.
        mix: the sets; each keeps the labelled fraction.
        labels: which labels may be used.
        mano_model: converted MANO file that the sets' poses belong to; None is the open hand.
        bad_photos: file that gets a line for each photo that cannot be read.

    Raises:
        DataSetError: a folder is not the set's, or no set holds photos of the one to leave out.
    """
    crops = HandCropConfig(**mix.model_dump(exclude={"sets"}))
    sets = mix.sets or {"freihand": MixMember(path=labelled_hands, split="training")}
    members: dict[str, LabelledSubset] = {}
    for name, member in sets.items():
        kind = member.hand_set or name
        hands = open_hand_set(
            kind, member.path, member.split, mano_model, crops, bad_photos, member.partial
        )
        members[name] = LabelledSubset(hands, labels)
    if labels.left_out is not None:
        shots = {shot for member in members.values() for shot in member.hands.unique_ids}
        if not any(is_of(shot, labels.left_out) for shot in shots):
            raise DataSetError(
                f"labels.left_out is {labels.left_out!r}, but no shot of {', '.join(sets)} is "
                "named so"
            )
    if not mix.sets:
        return members["freihand"]
    return HandMix(members, {name: member.weight for name, member in sets.items()})


def open_hand_set(
    name: str,
    root: Path,
    split: str,
    mano_model: Path | None = None,
    crops: HandCropConfig | None = None,
    bad_photos: Path | None = None,
    partial: bool = False,
) -> HandImages:
    """The images and labels of a split of a data set.

    Args:
        name: key of `hand_sets.HAND_SETS`.
        root: folder of the set.
        split: in the set's own words.
        mano_model: converted MANO file that the set's poses belong to; None is the open hand.
        crops: how crops are cut.
        bad_photos: as of `HandImages`.
        partial: as of `read_hands`.

    Raises:
        DataSetError: an unknown set or split, or a folder that is not the set's.
    """
    mano = hand_of(name, mano_model)
    manifest = read_hands(name, root, split, mano, partial)
    return HandImages(manifest, mano, crops, bad_photos)


def open_labelled_hands(labelled_hands: Path, split: str, mano: ManoHand) -> HandImages:
    """A split of the set in FreiHAND's layout as it is: for evaluation, where none may be left out.

    Args:
        labelled_hands: folder of the set.
        split: training or evaluation.
        mano: the hand model that the set's poses belong to.

    Raises:
        DataSetError: the folder is not the set's.
    """
    return HandImages(read_hands("freihand", labelled_hands, split, mano), mano)


def join_batches(parts: Sequence[HandBatch], order: Sequence[int]) -> HandBatch:
    """The batches as one, its k-th row at place `order[k]`."""
    back = np.argsort(order)
    names = [name for part in parts for name in part.ids]
    joined: dict[str, Any] = {"ids": tuple(names[i] for i in back.tolist())}
    rows = torch.from_numpy(back)
    for entry in fields(HandBatch):
        values = [getattr(part, entry.name) for part in parts]
        if isinstance(values[0], Tensor):
            joined[entry.name] = torch.cat(values)[rows]
    return HandBatch(**joined, keypoints=_all_keypoints(parts, rows))


def _all_keypoints(parts: Sequence[HandBatch], rows: Tensor) -> Keypoints | None:
    """Those of all parts; a part in which no detector has looked has confidence 0."""
    if all(part.keypoints is None for part in parts):
        return None
    points, confidence, deep = [], [], []
    for part in parts:
        seen = part.keypoints or Keypoints(
            torch.zeros_like(part.joints_2d), torch.zeros_like(part.joints_2d[..., 0])
        )
        points.append(seen.points)
        confidence.append(seen.confidence)
        deep.append(seen.points_3d)
    depths = None
    if any(each is not None for each in deep):
        blind = [torch.zeros_like(part.joints_3d) for part in parts]
        depths = torch.cat([none if d is None else d for d, none in zip(deep, blind)])[rows]
    return Keypoints(torch.cat(points)[rows], torch.cat(confidence)[rows], depths)
