"""Square crops around hands: how they are cut, stored and read back."""

import hashlib
import io
from collections.abc import Sequence
from functools import cached_property
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
_PICTURES = (".jpg", ".png")


class UnlabelledConfig(Config):
    """Which crops a pretraining may see (HandMIM's unlabelled fractions)."""

    fraction: float = Field(1.0, gt=0, le=1, description="share of the crops")
    seed: int = Field(0, ge=0, description="of the choice; subsets of one seed are nested")
    folders: tuple[Path, ...] = Field(
        (), description="of further pictures of one hand each (.jpg, .png), renders say: all count"
    )


class CropDataset(Dataset[CropItem]):
    """The crops of a folder of shards, decoded, and after them further pictures of their size.

    Args:
        shards: the folder, or an open reader.
        indices: which samples; default all.
        pictures: files, resized to the size of the crops.
    """

    def __init__(
        self,
        shards: Path | str | ShardReader,
        indices: Sequence[int] | None = None,
        pictures: Sequence[Path] = (),
    ) -> None:
        self.reader = shards if isinstance(shards, ShardReader) else ShardReader(shards)
        self.indices = range(len(self.reader)) if indices is None else indices
        self.pictures = pictures

    def __len__(self) -> int:
        return len(self.indices) + len(self.pictures)

    def __getitem__(self, index: int) -> CropItem:
        if index >= len(self.indices):
            return self._picture(self.pictures[index - len(self.indices)])
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

    @cached_property
    def _size(self) -> tuple[int, int]:
        height, width = self[0][0].shape[-2:]
        return width, height

    def _picture(self, file: Path) -> CropItem:
        try:
            with Image.open(file) as image:
                shown = image.convert("RGB").resize(self._size, Image.Resampling.BICUBIC)
        except OSError as error:
            raise ShardError(f"{file} cannot be decoded ({error}); delete or mend it") from error
        return torch.from_numpy(np.array(shown)).permute(2, 0, 1), file.as_posix()

    def collate(self, items: Sequence[CropItem]) -> ImageBatch:
        """Stack crops of one size to a batch."""
        images = torch.stack([image for image, _ in items])
        return ImageBatch(ids=tuple(key for _, key in items), images=images.contiguous())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the shards, what was chosen of them where that is not all, and the pictures."""
        if self.indices == range(len(self.reader)) and not self.pictures:
            return self.reader.fingerprint
        digest = hashlib.sha256(f"{self.reader.fingerprint}{list(self.indices)}".encode())
        for file in self.pictures:
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        return digest.hexdigest()

    def meta(self, index: int) -> dict[str, Any]:
        """Where a crop of the shards came from: see `data.photos.collect` for the keys."""
        return self.reader.meta(self.indices[index])


def open_crops(shards: Path | str, cfg: UnlabelledConfig) -> CropDataset:
    """The chosen share of a folder of crops, each by itself: crops of one photo may be parted.

    Raises:
        ShardError: the folder holds no crops that can be read.
        ValueError: it, or a folder of further pictures, holds none at all.
    """
    reader = ShardReader(shards)
    pictures: list[Path] = []
    for folder in cfg.folders:
        found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _PICTURES)
        if not found:
            raise ValueError(f"unlabelled.folders: {folder} holds no {' or '.join(_PICTURES)}")
        pictures += found
    chosen = None if cfg.fraction == 1 else labelled_subset(reader.keys, cfg.fraction, cfg.seed)
    return CropDataset(reader, chosen, pictures)
