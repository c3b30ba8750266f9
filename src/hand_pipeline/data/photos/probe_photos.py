"""Real photos with little labels, for probes: what a hand shows, or where its fingertips are."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.cropping import cut_square, squares_around
from hand_pipeline.data.photos.files import load_photo

_COLUMNS = ("file", "set", "width", "height", "group", "label", "hand_boxes")
_TIPS = ("thumb_tip", "index_tip")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ProbePhotos(Dataset[UInt8[Tensor, "3 size size"]]):
    """Square crops of the hands of one set; an item is a crop, `crop_size` pixels a side.

    Attributes:
        files: the photos.
        squares: left, top and side of the crop in each, px of the photo.
        groups: photos of one person or one recording, which no split may separate.
        labels: class of each; -1 where the set has none.
        tips: thumb and index tip, shares of the crop's side from its left top corner; NaN where
            the set has none.
        crop_size: side of an item, px.
    """

    files: tuple[Path, ...]
    squares: Int[np.ndarray, "photos 3"]
    groups: tuple[str, ...]
    labels: Int[np.ndarray, " photos"]
    tips: Float[np.ndarray, "photos 2 2"]
    crop_size: int

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> UInt8[Tensor, "3 size size"]:
        left, top, side = self.squares[index].tolist()
        crop = cut_square(load_photo(self.files[index]), left, top, side, self.crop_size)
        return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def with_manifest(folder: Path | None, pipeline: str) -> Path | None:
    """The folder, if it holds photos with a manifest; else a warning says what to give.

    Args:
        folder: as configured; None: none.
        pipeline: which has it as `folder` in its parameters.
    """
    if folder is not None and (folder / "manifest.csv").is_file():
        return folder
    reason = "none was given" if folder is None else f"{folder} has no manifest.csv"
    logger.warning(
        "%s is skipped: %s; give a folder of photos with a manifest.csv: "
        "kedro run --pipelines %s --params %s.folder=DIR", pipeline, reason, pipeline, pipeline,
    )  # fmt: skip
    return None


def read_probe_photos(
    root: Path, name: str, crop_size: int, crop_scale: float = 1.75
) -> ProbePhotos:
    """One set of a folder of photos with a `manifest.csv`.

    Its columns: `file` (below the folder), `set`, `width`, `height` (px), `group`, `label` (a whole
    number or empty), `hand_boxes` (left, top, right, bottom, px; empty: the whole photo is the
    hand), `thumb_tip` and `index_tip` (x, y, px; empty or absent).

    Args:
        root: the folder.
        name: of the set.
        crop_size: side of the crops, px: the network's input.
        crop_scale: side of the square in longer sides of the box, as `collect` cuts it.

    Raises:
        DataSetError: no manifest, a column or the set is missing, or a photo is not there.
    """
    manifest = root / "manifest.csv"
    if not manifest.is_file():
        raise DataSetError(f"no manifest.csv in {root}; give the folder of the probe's photos")
    table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    if missing := [column for column in _COLUMNS if column not in table]:
        raise DataSetError(f"{manifest} has no column {', '.join(missing)}")
    rows = table[table["set"] == name]
    if rows.empty:
        known = ", ".join(sorted(set(table["set"])))
        raise DataSetError(f"{manifest} has no set {name!r}; it has: {known}")
    files = tuple(root / file for file in rows["file"])
    if absent := [str(file) for file in files if not file.is_file()]:
        raise DataSetError(f"{len(absent)} photos of {name} are not there: {', '.join(absent[:3])}")
    squares = squares_around(_boxes(rows), 1.0)
    boxed = (rows["hand_boxes"] != "").to_numpy()
    squares[boxed] = squares_around(_boxes(rows), crop_scale)[boxed]
    labels = np.array([int(label) if label else -1 for label in rows["label"]], dtype=np.int64)
    corner, side = squares[:, None, :2], squares[:, None, 2:]
    tips = (_tips(rows) - corner) / side
    return ProbePhotos(files, squares, tuple(rows["group"]), labels, tips, crop_size)


def _boxes(rows: pd.DataFrame) -> Float[np.ndarray, "photos 4"]:
    """The first box of each photo, or the whole photo."""
    boxes = []
    for text, width, height in zip(rows["hand_boxes"], rows["width"], rows["height"]):
        numbers = [float(number) for number in text.split(",")[:4]] if text else []
        boxes.append(numbers or [0.0, 0.0, float(width), float(height)])
    return np.array(boxes)


def _tips(rows: pd.DataFrame) -> Float[np.ndarray, "photos 2 2"]:
    tips = np.full((len(rows), 2, 2), np.nan)
    for place, column in enumerate(_TIPS):
        for row, text in enumerate(rows.get(column, [])):
            if text:
                tips[row, place] = [float(number) for number in text.split(",")]
    return tips
