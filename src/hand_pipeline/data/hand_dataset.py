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


class LabelsConfig(Config):
    """Which labels a run may learn from."""

    fraction: float = Field(1.0, gt=0, le=1, description="share of the labelled shots")
    seed: int = Field(0, ge=0, description="of the choice; subsets of one seed are nested")


class LabelledSubset(Dataset[Any]):
    """The labelled fraction of a set; a `HandDataset` itself."""

    def __init__(self, hands: HandDataset, cfg: LabelsConfig) -> None:
        self.hands = hands
        self.indices = labelled_subset(hands.unique_ids, cfg.fraction, cfg.seed)
        self.ids = [hands.ids[i] for i in self.indices]
        self.unique_ids = [hands.unique_ids[i] for i in self.indices]
        self.collate = hands.collate

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.hands[self.indices[index]]

    @property
    def fingerprint(self) -> str:
        """Hash of the set and of what was chosen of it."""
        chosen = f"{self.hands.fingerprint}{self.indices}"
        return hashlib.sha256(chosen.encode()).hexdigest()

    @property
    def crop_scale(self) -> float:
        """As of the whole set."""
        return self.hands.crop_scale


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
