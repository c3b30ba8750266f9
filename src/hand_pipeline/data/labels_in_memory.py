"""A labelled set without its images, in memory: for what learns from keypoints alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch.utils.data import Dataset

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_augmentation import (
    HandAugmentation,
    HandAugmentationConfig,
    transform_labels,
)
from hand_pipeline.data.hand_mix import join_batches
from hand_pipeline.data.loader import OrderedDataset, batches_in_order

_AT_ONCE = 256  # hands that are read at once


class LabelsInMemory(Dataset[int]):
    """Labels and keypoints of a set, all its images read once and left out.

    Its batches come in the set's own order (a mix by weight), hundreds of times as fast. Their
    images are black and take no memory; pixels are those of `image_size`, so that sets of images
    of several sizes can be mixed.

    Args:
        hands: the set.
        image_size: side of the black images, px.
        num_workers: processes that read the set.
    """

    def __init__(self, hands: WithKeypoints, image_size: int, num_workers: int = 0) -> None:
        self.hands, self.image_size, self.num_workers = hands, image_size, num_workers
        resize = HandAugmentation(HandAugmentationConfig(image_size=image_size))
        self.ids, self.unique_ids = hands.ids, hands.unique_ids
        parts = []
        for part in batches_in_order(hands, _AT_ONCE, num_workers, range(len(hands))):
            part = transform_labels(part, resize.whole_image(part.images))
            parts.append(replace(part, images=part.images[:, :, :0, :0]))
        self.labels = join_batches(parts, range(len(hands)))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def collate(self, samples: Sequence[int]) -> HandBatch:
        """One batch of hands."""
        black = torch.zeros(1, 1, 1, 1, dtype=torch.uint8)
        images = black.expand(len(samples), 3, self.image_size, self.image_size)
        return replace(self.labels.rows(samples), images=images)

    def held_out(self) -> "LabelsInMemory | None":
        """The set's hands for validation; None if it holds out none."""
        part = self.hands.held_out()
        if part is None:
            return None
        return LabelsInMemory(part, self.image_size, self.num_workers)

    def epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        """Samples of an epoch in the order they are drawn; the set's own where it has one."""
        if isinstance(self.hands, OrderedDataset):
            return self.hands.epoch_order(seed, epoch)
        return np.random.default_rng((seed, epoch)).permutation(len(self))

    @property
    def fingerprint(self) -> str:
        """Hash of the set and of its pixels."""
        return f"{self.hands.fingerprint} {self.image_size}"

    @property
    def crop_scale(self) -> float:
        """As of the set."""
        return self.hands.crop_scale
