"""What every reader of labelled hands offers, and which part of it a run may learn from."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from hand_pipeline.data.batch import HandBatch


@runtime_checkable
class HandDataset(Protocol):
    """A map-style set of labelled right hands.

    Attributes:
        ids: name of each sample, as in `HandBatch.ids`.
        unique_ids: name of the labelled shot each sample shows. Samples that share one (FreiHAND's
            four backgrounds of a photo) share their label, and stay together in any split.
    """

    ids: Sequence[str]
    unique_ids: Sequence[str]

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Any:
        """A sample that `collate` can batch."""
        ...

    @staticmethod
    def collate(samples: list[Any]) -> HandBatch:
        """One batch of the samples, images as stored (uint8)."""
        ...


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
