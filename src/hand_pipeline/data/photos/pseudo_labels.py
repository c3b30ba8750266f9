"""Photos without labels become a labelled set: landmarks of several looks, MANO fitted to them.

What is unsure is left out, and counted by reason: hands that few looks found, or that the detector
takes for the other hand, and the fits that lie farthest from what was seen.
"""

import hashlib
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.detect_hands import Looks, Outcome, look_at
from hand_pipeline.data.photos.detection_copies import CopiesConfig
from hand_pipeline.data.photos.detector import DetectorConfig
from hand_pipeline.data.photos.detector_model import resolve_model
from hand_pipeline.data.photos.files import BadPhoto
from hand_pipeline.data.photos.photo_hands import crop_intrinsics
from hand_pipeline.data.readers.freihand import Split
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.geometry.hand_fit import FittedHands, HandFitConfig, Landmarks, fit_hands
from hand_pipeline.geometry.mano import ManoHand

ACCEPTED = "accepted"
SPLITS: tuple[Split, ...] = ("training", "evaluation")
_TOGETHER = 512  # hands that are fitted at once; their fits do not depend on it


class PseudoLabelConfig(Config):
    """How photos are labelled, and which labels are believed. All defaults are our choice."""

    detector: DetectorConfig = DetectorConfig()
    copies: CopiesConfig = Field(CopiesConfig(), description="of each crop, looked at, too")
    fit: HandFitConfig = HandFitConfig()
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file that is fitted; null: the open hand"
    )
    min_looks: int = Field(
        6, ge=1, description="at a crop and its copies that must have found the hand"
    )
    kept: float = Field(
        0.93,
        gt=0,
        le=1,
        description="quantile of either residual, of each set, up to which fits are kept",
    )
    left_out: str | None = Field(
        None, description="photo set that is the evaluation split and never learnt from"
    )
    held_out: float = Field(
        0.1, gt=0, lt=1, description="share of the groups (persons, takes) that is, without it"
    )
    crop_size: int | None = Field(
        None, ge=32, description="of the training that uses the keypoints (its `crops`), px"
    )
    shown: int = Field(24, gt=0, description="hands in the picture, half of them rejected")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")

    @model_validator(mode="after")
    def _looks_are_possible(self) -> "PseudoLabelConfig":
        if self.min_looks > 1 + self.copies.count:
            raise ValueError(
                f"min_looks is {self.min_looks}, but a crop and its {self.copies.count} copies "
                f"(copies.count) give {1 + self.copies.count} looks"
            )
        return self


class ShardCrop(NamedTuple):
    """A crop in a folder of shards; an `ImageSource`."""

    folder: Path
    position: int
    size: int

    def load(self) -> UInt8[np.ndarray, "size size 3"]:
        """The crop, RGB.

        Raises:
            BadPhoto: it cannot be decoded.
        """
        return decoded_crop(ShardReader(self.folder), self.position)


class PseudoLabels(NamedTuple):
    """A row a crop, in the order of the shards.

    Attributes:
        table: `key`, `photo`, `set`, `group`, `outcome` (`accepted` or why not), `split` and `id`
            of what was accepted, `looks`, `confidence` (mean of the joints), and the residuals of
            what was fitted.
        looks: what was seen in the crops, px.
        fits: hands in the cameras of the crops; zeros where none was fitted.
        intrinsics: cameras of the crops.
    """

    table: pd.DataFrame
    looks: Looks
    fits: FittedHands
    intrinsics: Float[Tensor, "crops 3 3"]


def label_crops(
    shards: ShardReader, cfg: PseudoLabelConfig, mano: ManoHand, parts: Path, workers: int
) -> PseudoLabels:
    """Look at every crop and its copies, fit hands to what was seen, and judge them.

    Args:
        shards: crops of `data.photos.collect`, in which all hands are shown as right ones.
        cfg: how.
        mano: hand model, with FreiHAND's tips.
        parts: folder of finished blocks, named by all that decides what is seen.
        workers: processes.

    Raises:
        DetectorModelError: no model file could be had.
        DataSetError: there are no crops, none is accepted, or `left_out` is no set of theirs.
    """
    metas = [shards.meta(position) for position in range(len(shards))]
    table = _origins(shards, metas)
    splits = split_groups(table["set"].tolist(), table["group"].tolist(), cfg)
    looks = _look(shards, metas, cfg, parts, workers)
    intrinsics = torch.stack([crop_intrinsics(meta) for meta in metas])
    outcomes = _seen_outcomes(looks, cfg)
    fits = _fit(mano, looks, intrinsics, outcomes == ACCEPTED, cfg.fit)
    outcomes = _fit_outcomes(outcomes, fits, table["set"].to_numpy(str), cfg.kept)
    if not (outcomes == ACCEPTED).any():
        raise DataSetError(
            f"no hand of {len(table)} crops is accepted: {dict(Counter(outcomes.tolist()))}; lower "
            "pseudo_label.min_looks, or collect other photos"
        )
    table["outcome"], table["looks"] = outcomes, looks.looks
    table["confidence"] = looks.confidence.mean(1).round(4)
    table["residual_2d"] = fits.residual_2d.numpy().round(5)
    table["residual_3d"] = fits.residual_3d.numpy().round(5)
    table["split"] = np.where(outcomes == ACCEPTED, splits, "")
    numbers = table.groupby("split").cumcount()
    table["id"] = [f"{s}/{n:08d}" if s else "" for s, n in zip(table["split"], numbers)]
    return PseudoLabels(table, looks, fits, intrinsics)


def _look(
    shards: ShardReader,
    metas: Sequence[dict[str, Any]],
    cfg: PseudoLabelConfig,
    parts: Path,
    workers: int,
) -> Looks:
    """What is seen in the crops, where `collect` saw a hand."""
    found = cfg.detector
    model = resolve_model(found.model_path, found.model_cache, found.allow_download)
    size = len(decoded_crop(shards, 0))
    seen = np.array([meta["landmarks_2d"] for meta in metas])
    return look_at(
        [ShardCrop(shards.directory, position, size) for position in range(len(shards))],
        np.concatenate([seen.min(1), seen.max(1)], axis=1),
        found.model_copy(update={"model_path": model}),  # fetched once, by this process
        parts,
        workers,
        cfg.copies,
    )


def account(table: pd.DataFrame) -> dict[str, Any]:
    """How many crops ended in what, in all and by set, and how well the accepted ones fit."""
    good = table[table["outcome"] == ACCEPTED]

    def counts(some: pd.DataFrame) -> dict[str, int]:
        return {str(name): int(n) for name, n in sorted(Counter(some["outcome"]).items())}

    return {
        "crops": len(table),
        "groups": int(table["group"].nunique()),
        "outcomes": counts(table),
        "by_set": {str(name): counts(some) for name, some in table.groupby("set")},
        **{split: int((table["split"] == split).sum()) for split in SPLITS},
        "residual_2d": float(good["residual_2d"].median()),
        "residual_3d": float(good["residual_3d"].median()),
    }


def split_groups(sets: Sequence[str], groups: Sequence[str], cfg: PseudoLabelConfig) -> list[Split]:
    """Each hand's split: a group (the photos of a person or a take) is never parted.

    With `left_out` that photo set is the evaluation split; else a share of all groups is, chosen
    by their names, so that photos that are added leave the others where they were.

    Raises:
        DataSetError: there are no photos of the set that is to be left out.
    """
    if cfg.left_out is None:
        return ["evaluation" if _drawn(group, cfg.held_out) else "training" for group in groups]
    if cfg.left_out not in sets:
        raise DataSetError(
            f"pseudo_label.left_out is {cfg.left_out!r}, but the crops are of the sets "
            f"{', '.join(sorted(set(sets)))}"
        )
    return ["evaluation" if name == cfg.left_out else "training" for name in sets]


def _drawn(group: str, share: float) -> bool:
    return int(hashlib.sha256(group.encode()).hexdigest()[:8], 16) < share * 2**32


def _origins(shards: ShardReader, metas: Sequence[dict[str, Any]]) -> pd.DataFrame:
    if not metas:
        raise DataSetError(f"{shards.directory} has no crops; collect photos of hands first")
    return pd.DataFrame(
        {
            "key": shards.keys,
            "photo": [str(meta.get("file", "")) for meta in metas],
            "set": [str(meta.get("set", "")) for meta in metas],
            "group": [f"{meta.get('set', '')}/{meta.get('group', '')}" for meta in metas],
        }
    )


def decoded_crop(shards: ShardReader, position: int) -> UInt8[np.ndarray, "size size 3"]:
    """A crop, RGB.

    Raises:
        BadPhoto: it cannot be decoded.
    """
    try:
        with Image.open(io.BytesIO(shards.image(position))) as image:
            return np.array(image.convert("RGB"))
    except OSError as error:
        raise BadPhoto("unreadable", str(error)) from error


def _seen_outcomes(looks: Looks, cfg: PseudoLabelConfig) -> np.ndarray:
    """Why a hand is not fitted, or `accepted`."""
    not_found = [looks.outcomes == each for each in Outcome if each != Outcome.FOUND]
    names = [each.name.lower() for each in Outcome if each != Outcome.FOUND]
    unsure = [looks.looks < cfg.min_looks, looks.called_left]
    chosen: np.ndarray = np.select(
        [*not_found, *unsure], [*names, "few_looks", "other_side"], ACCEPTED
    )
    return chosen


def _fit(
    mano: ManoHand, looks: Looks, intrinsics: Tensor, chosen: np.ndarray, cfg: HandFitConfig
) -> FittedHands:
    """Fits of some hands; zeros for the others."""
    count, rows = len(chosen), torch.from_numpy(np.flatnonzero(chosen))
    shapes = [(16, 3, 3), (10,), (21, 3), (778, 3), (), ()]
    whole = FittedHands(*(torch.zeros(count, *shape) for shape in shapes))
    for some in rows.split(_TOGETHER) if len(rows) else ():
        seen = Landmarks(
            *(torch.from_numpy(value)[some] for value in
              (looks.points, looks.confidence, looks.points_3d))
        )  # fmt: skip
        for all_hands, fitted in zip(whole, fit_hands(mano, seen, intrinsics[some], cfg)):
            all_hands[some] = fitted
    return whole


def _fit_outcomes(
    outcomes: np.ndarray, fits: FittedHands, sets: np.ndarray, kept: float
) -> np.ndarray:
    """The outcomes, with the worst fits of either residual rejected.

    Worst of each set: a detector errs more in some views, and one limit for all would leave a set
    of such views half empty (ti1k: 19 of 40). A set of fewer than 1 / (1 - kept) hands keeps all.
    """
    judged = outcomes.astype(object)
    for name in ("residual_3d", "residual_2d"):
        residual = getattr(fits, name).numpy()
        for each in np.unique(sets):
            fitted = (outcomes == ACCEPTED) & (sets == each)
            if round(fitted.sum() * (1 - kept), 6) >= 1:
                judged[fitted & (residual > np.quantile(residual[fitted], kept))] = name
    return judged.astype(str)
