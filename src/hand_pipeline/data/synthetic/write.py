"""The one writer of synthetic images: a folder of them, each a function of seed and index alone.

Interrupted, the same call goes on where it stopped: images are written whole or not at all, and a
finished one is never drawn again. Labels are cheap and always computed anew.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray
from PIL import Image

from hand_pipeline.data.synthetic.background import list_photos
from hand_pipeline.data.synthetic.config import PhotosConfig, SyntheticConfig
from hand_pipeline.data.synthetic.scene import painter
from hand_pipeline.files import atomic_write_bytes, atomic_write_text
from hand_pipeline.processes import run_blocks

LOOK = 3  # to be raised when the same seed gives other images
BLOCK = 32  # images that are posed together; fixed, so that labels do not depend on the request
PHOTOS = "photos"
_STREAM = {"training": 0, "evaluation": 1, PHOTOS: 2}

AnyConfig = TypeVar("AnyConfig", SyntheticConfig, PhotosConfig)
Labels = TypeVar("Labels")


class Block(NamedTuple):
    """Consecutive images `first` to `last` - 1; `first` is a multiple of BLOCK."""

    first: int
    last: int


@dataclass(frozen=True)
class Drawing(Generic[AnyConfig]):
    """What a worker process is to draw.

    Attributes:
        config: what the images are of.
        out_dir: where they go.
        backgrounds: photos to put behind the hands; None for made-up backgrounds.
        split: training, evaluation or photos.
    """

    config: AnyConfig
    out_dir: Path
    backgrounds: list[Path] | None
    split: str

    def image(self, index: int, kind: str = "rgb") -> Path:
        """File of an image."""
        return _image(self.out_dir, self.split, index, kind)

    def save(self, path: Path, pixels: UInt8[ndarray, "..."]) -> None:
        """Write an image, whole or not at all."""
        atomic_write_bytes(path, encode_jpeg(pixels, self.config.jpeg_quality))


def draw_all(
    draw: Callable[[Drawing[AnyConfig], Block], Labels],
    config: AnyConfig,
    out_dir: Path,
    counts: Mapping[str, int],
    workers: int,
    description: str,
) -> dict[str, list[Labels]]:
    """Draw what is not there yet, by several processes.

    Args:
        draw: draws a block's images that are not there yet, and returns the labels of all.
        counts: images a split.
        workers: processes; the images do not depend on it.
        description: of the progress bar.

    Returns:
        What `draw` returned, by split, in the order of the images.

    Raises:
        FileNotFoundError: the backgrounds' folder or the MANO file is missing or empty.
        FileExistsError: `out_dir` holds images of other settings, or more than asked for.
        DiskFullError: the disk is full; finished images stay.
    """
    backgrounds = (
        None if config.background_photos is None else list_photos(config.background_photos)
    )
    _claim(config, out_dir, counts)
    painter(config.mano_model)  # a wrong model file ends here, not in a worker
    tasks = [
        ((Drawing(config, out_dir, backgrounds, split), Block(first, last)), last - first)
        for split, count in counts.items()
        for first in range(0, count, BLOCK)
        for last in [min(first + BLOCK, count)]
    ]
    found: dict[str, dict[int, Labels]] = {split: {} for split in counts}
    for (drawing, block), labels in run_blocks(draw, tasks, workers, description):
        found[drawing.split][block.first] = labels
    return {split: [parts[first] for first in sorted(parts)] for split, parts in found.items()}


def generator(config: AnyConfig, split: str, index: int, *stream: int) -> np.random.Generator:
    """Random numbers of an image; those of another stream do not depend on them."""
    return np.random.default_rng([config.seed, _STREAM[split], index, *stream])


def encode_jpeg(pixels: UInt8[ndarray, "..."], quality: int) -> bytes:
    """An image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _image(out_dir: Path, split: str, index: int, kind: str = "rgb") -> Path:
    if split == PHOTOS:
        return out_dir / PHOTOS / f"{index:06d}.jpg"
    return out_dir / split / kind / f"{index:08d}.jpg"


def _claim(config: AnyConfig, out_dir: Path, counts: Mapping[str, int]) -> None:
    """Note in the folder what its images are of; refuse a folder of others."""
    numbers = {"num_training", "num_evaluation", "count"}  # more can be added
    settings = config.model_dump(mode="json", exclude=numbers) | {"look": LOOK}
    note = out_dir / "synthetic.json"
    if note.exists():
        earlier = {"look": 1} | json.loads(note.read_text())  # photos' notes lacked it once
        changed = {k: (earlier.get(k), v) for k, v in settings.items() if earlier.get(k) != v}
        if changed:
            listed = ", ".join(f"{k} {old!r}, now {new!r}" for k, (old, new) in changed.items())
            raise FileExistsError(
                f"{out_dir} holds synthetic hands of other settings ({listed}). Give another "
                "folder, or delete this one"
            )
    elif any((out_dir / split).exists() for split in counts):
        raise FileExistsError(
            f"{out_dir} holds a data set that was not made here. Give another folder"
        )
    for split, count in counts.items():
        if (surplus := _image(out_dir, split, count)).exists():
            raise FileExistsError(
                f"{out_dir} holds more than the {count} images asked for in {split} ({surplus} "
                "is there). Ask for at least as many, give another folder, or delete this one"
            )
    atomic_write_text(note, json.dumps(settings, indent=1) + "\n")
