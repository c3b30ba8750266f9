"""A labelled set without its images, in memory: for what learns from keypoints alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_mix import join_batches
from hand_pipeline.data.loader import OrderedDataset, batches_in_order

_AT_ONCE = 256  # hands that are read at once


class LabelsInMemory(Dataset[int]):
    """Labels and keypoints of a set, all its images read once and left out.

    Its batches come in the set's own order (a mix by weight), hundreds of times as fast. Their
    images are black, of the set's size, and take no memory.

    Args:
        hands: the set.
        num_workers: processes that read it.
    """

    def __init__(self, hands: WithKeypoints, num_workers: int = 0) -> None:
        self.hands = hands
        self.ids, self.unique_ids = hands.ids, hands.unique_ids
        parts = []
        for part in batches_in_order(hands, _AT_ONCE, num_workers, range(len(hands))):
            self.black = torch.zeros(1, *part.images.shape[1:], dtype=torch.uint8)
            parts.append(replace(part, images=part.images[:, :, :0, :0]))
        self.labels = join_batches(parts, range(len(hands)))
        self.num_workers = num_workers

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def collate(self, samples: Sequence[int]) -> HandBatch:
        """One batch of hands."""
        images = self.black.expand(len(samples), -1, -1, -1)
        return replace(self.labels.rows(samples), images=images)

    def held_out(self) -> "LabelsInMemory | None":
        """The set's hands for validation; None if it holds out none."""
        part = self.hands.held_out()
        return None if part is None else LabelsInMemory(part, self.num_workers)

    def epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        """Samples of an epoch in the order they are drawn; the set's own where it has one."""
        if isinstance(self.hands, OrderedDataset):
            return self.hands.epoch_order(seed, epoch)
        return np.random.default_rng((seed, epoch)).permutation(len(self))

    @property
    def fingerprint(self) -> str:
        """Hash of the set."""
        return self.hands.fingerprint

    @property
    def crop_scale(self) -> float:
        """As of the set."""
        return self.hands.crop_scale
