"""Square crops around hands: how they are cut, stored and read back."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.shards import ShardError, ShardReader

CropItem = tuple[UInt8[Tensor, "3 height width"], str]


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

    def meta(self, index: int) -> dict[str, Any]:
        """Where a crop came from: see `data.collect` for the keys."""
        return self.reader.meta(self.indices[index])


def collate_crops(items: Sequence[CropItem]) -> ImageBatch:
    """Stack crops of one size to a batch."""
    images = torch.stack([image for image, _ in items])
    return ImageBatch(ids=tuple(key for _, key in items), images=images.contiguous())
