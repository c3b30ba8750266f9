"""Square crops around hands: how they are cut, stored and read back."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.hand_dataset import labelled_subset
from hand_pipeline.data.shards.files import ShardError, ShardReader

CropItem = tuple[UInt8[Tensor, "3 height width"], str]


class UnlabelledConfig(Config):
    """Which crops a pretraining may see (HandMIM's unlabelled fractions)."""

    fraction: float = Field(1.0, gt=0, le=1, description="share of the crops")
    seed: int = Field(0, ge=0, description="of the choice; subsets of one seed are nested")


class CropDataset(Dataset[CropItem]):
    """The crops of a folder of shards, decoded.

    Args:
        shards: the folder, or an open reader.
        indices: which samples; default all.
    """

    def __init__(
        self, shards: Path | str | ShardReader, indices: Sequence[int] | None = None
    ) -> None:
        self.reader = shards if isinstance(shards, ShardReader) else ShardReader(shards)
        self.indices = range(len(self.reader)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> CropItem:
        position = self.indices[index]
        key = self.reader.keys[position]
        try:
            with Image.open(io.BytesIO(self.reader.image(position))) as image:
                pixels = np.array(image.convert("RGB"))
        except OSError as error:
            raise ShardError(
                f"the image of sample {key!r} in {self.reader.directory} cannot be decoded "
                f"({error}): the shard was damaged; run the stage that wrote it again"
            ) from error
        return torch.from_numpy(pixels).permute(2, 0, 1), key

    def collate(self, items: Sequence[CropItem]) -> ImageBatch:
        """Stack crops of one size to a batch."""
        images = torch.stack([image for image, _ in items])
        return ImageBatch(ids=tuple(key for _, key in items), images=images.contiguous())

    @property
    def fingerprint(self) -> str:
        """Hash of the shards, and of what was chosen of them where that is not all."""
        if self.indices == range(len(self.reader)):
            return self.reader.fingerprint
        chosen = f"{self.reader.fingerprint}{list(self.indices)}"
        return hashlib.sha256(chosen.encode()).hexdigest()

    def meta(self, index: int) -> dict[str, Any]:
        """Where a crop came from: see `data.photos.collect` for the keys."""
        return self.reader.meta(self.indices[index])


def open_crops(shards: Path | str, cfg: UnlabelledConfig) -> CropDataset:
    """The chosen share of a folder of crops, each by itself: crops of one photo may be parted.

    Raises:
        ShardError: the folder holds no crops that can be read.
        ValueError: it holds none at all.
    """
    reader = ShardReader(shards)
    if cfg.fraction == 1:
        return CropDataset(reader)
    return CropDataset(reader, labelled_subset(reader.keys, cfg.fraction, cfg.seed))
