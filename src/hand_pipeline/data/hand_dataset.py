"""What every reader of labelled hands offers, and which part of it a run may learn from."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from pydantic import Field
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch


@runtime_checkable
class HandDataset(Protocol):
    """A map-style set of labelled right hands.

    Attributes:
        ids: name of each sample, as in `HandBatch.ids`.
        unique_ids: name of the labelled shot each sample shows. Samples that share one (FreiHAND's
            four backgrounds of a photo) share their label, and stay together in any split.
    """

    ids: list[str]
    unique_ids: list[str]

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Any:
        """A sample that `collate` can batch."""
        ...

    def collate(self, samples: Sequence[Any]) -> HandBatch:
        """One batch of the samples, images as stored (uint8)."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of the set's content, for the name of a training run."""
        ...

    @property
    def crop_scale(self) -> float:
        """Side of an image over the longer side of the hand in it, as a rule."""
        ...


_VALIDATION_SEED = 2357  # one for all runs: what validates one is learnt from by no other


class LabelsConfig(Config):
    """Which labels a run may learn from."""

    validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the shots that is never learnt from, to choose settings on; the same "
        "in every run",
    )
    left_out: str | None = Field(
        None,
        description="photo set (`ti1k`) that is held out whole, in place of that share, where a "
        "labelled set holds its shots: how a model does on photos of another origin",
    )
    fraction: float = Field(1.0, gt=0, le=1, description="share of the other labelled shots")
    seed: int = Field(0, ge=0, description="of the choice; subsets of one seed are nested")


class LabelledSubset(Dataset[Any]):
    """Some samples of a set; a `HandDataset` itself.

    Args:
        hands: the set.
        cfg: which of its labels may be used.
        validation: take the shots that are held out, not those to learn from.
    """

    def __init__(self, hands: HandDataset, cfg: LabelsConfig, validation: bool = False) -> None:
        self.hands, self.cfg = hands, cfg
        train, held_out = split_validation(hands.unique_ids, cfg.validation, cfg.left_out)
        chosen = labelled_subset([hands.unique_ids[i] for i in train], cfg.fraction, cfg.seed)
        self._holds_out = bool(held_out)
        self.indices = held_out if validation else [train[i] for i in chosen]
        only = getattr(hands, "only", None)
        if only is not None:  # `HandImages` shows another hand for a broken photo
            self.hands = only(self.indices)
        self.ids = [hands.ids[i] for i in self.indices]
        self.unique_ids = [hands.unique_ids[i] for i in self.indices]
        self.collate = hands.collate

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.hands[self.indices[index]]

    def held_out(self) -> "LabelledSubset | None":
        """The set's shots for validation; None if there are none."""
        return LabelledSubset(self.hands, self.cfg, True) if self._holds_out else None

    @property
    def fingerprint(self) -> str:
        """Hash of the set and of what was chosen of it."""
        chosen = f"{self.hands.fingerprint}{self.indices}"
        return hashlib.sha256(chosen.encode()).hexdigest()

    @property
    def crop_scale(self) -> float:
        """As of the whole set."""
        return self.hands.crop_scale


def split_validation(
    unique_ids: Sequence[str], share: float, left_out: str | None = None
) -> tuple[list[int], list[int]]:
    """Indices of the samples to learn from and of those to validate on, in the set's order.

    Whole shots are held out, the same in every run whatever its seeds.

    Args:
        unique_ids: shot of each sample.
        share: of the shots, in [0, 1); rounded up. 0 holds none out.
        left_out: part of the names of the shots that are held out instead, where there are such.

    Raises:
        ValueError: nothing would be left to learn from.
    """
    held_out = [i for i, shot in enumerate(unique_ids) if is_of(shot, left_out)]
    if not held_out and share:
        held_out = labelled_subset(unique_ids, share, _VALIDATION_SEED)
    train = sorted(set(range(len(unique_ids))) - set(held_out))
    if not train:
        raise ValueError(
            f"holding out {len(set(unique_ids))} shots leaves nothing to learn from; lower "
            "labels.validation, or leave another photo set out"
        )
    return train, held_out


def is_of(shot: str, photo_set: str | None) -> bool:
    """Whether a shot's name says that it is of a photo set."""
    return photo_set in shot.split("/")


def labelled_subset(unique_ids: Sequence[str], fraction: float, seed: int) -> list[int]:
    """Indices of the samples of a labelled fraction, in the set's order.

    Whole shots are taken or left (`HandDataset.unique_ids`). Subsets of one seed are nested: what
    10 % holds, 20 % holds too, so a curve over fractions only ever adds labels. They do not depend
    on the order of the samples.

    Args:
        unique_ids: shot of each sample.
        fraction: share of the shots, in (0, 1]; rounded up, so that it is never empty.
        seed: of the choice.

    Raises:
        ValueError: a fraction outside (0, 1], or no samples.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the labelled fraction must be in (0, 1], got {fraction}")
    if not unique_ids:
        raise ValueError("cannot take a fraction of an empty data set")
    shots = sorted(set(unique_ids))
    # The tolerance keeps 0.1 * 30 = 3.0000000000000004 from becoming 4.
    count = math.ceil(fraction * len(shots) - 1e-9)
    order = np.random.default_rng(seed).permutation(len(shots))
    chosen = {shots[i] for i in order[:count]}
    return [i for i, shot in enumerate(unique_ids) if shot in chosen]
