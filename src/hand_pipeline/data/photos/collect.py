"""From folders of photos to shards of hand crops, with an account of everything left out."""

import hashlib
import json
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field
from tqdm import tqdm

from hand_pipeline.data.photos.collect_worker import PhotoConfig, process_photos
from hand_pipeline.data.photos.cropping import FLAWS
from hand_pipeline.data.photos.duplicates import near_duplicates
from hand_pipeline.data.photos.files import (
    REASONS,
    BadPhoto,
    Folders,
    Photo,
    find_photos,
    read_photo,
)
from hand_pipeline.data.photos.journal import Journal
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.files import atomic_write

MANIFEST_NAME = "manifest.parquet"
_MANIFEST_COLUMNS = (
    "key", "set", "group", "file", "sha256", "perceptual_hash", "handedness", "mirrored", "score",
    "sharpness", "found_in", "box",
)  # fmt: skip


class CollectConfig(PhotoConfig):
    """How photos become crops."""

    max_hash_distance: int = Field(
        2, ge=-1, le=32, description="differing bits, of 64, of a near duplicate; -1 keeps them"
    )
    items_per_shard: int = Field(1000, ge=1, description="crops a shard")


@dataclass(frozen=True)
class CollectResult:
    """What was collected.

    Attributes:
        manifest: one row a crop, in the order of the shards.
        quarantine: one row a bad file: file, set, reason, detail.
        summary: one row a set and one for all, with the number of photos and hands at each step;
            `photos` = quarantined + exact_duplicates + without_hand + with_hand, and `hands` =
            the drops + `crops`.
    """

    manifest: pd.DataFrame
    quarantine: pd.DataFrame
    summary: pd.DataFrame


def collect_crops(
    folders: Folders,
    out_dir: Path | str,
    cfg: CollectConfig,
    workers: int | None = None,
    checkpoint_dir: Path | str | None = None,
    progress: bool = True,
) -> CollectResult:
    """Find the hands in all photos of some folders and store them as shards of square crops.

    Files that cannot be read are quarantined and never stop the work. If the process is killed,
    the same call goes on after the photos that were finished.

    Args:
        folders: searched recursively, or sources by name, which are then counted apart; see
            `find_photos`.
        out_dir: gets the shards, their index and `manifest.parquet`.
        cfg: thresholds and sizes.
        workers: processes; 0 works in this one, None uses every core this process may use.
        checkpoint_dir: where finished photos are noted; default beside `out_dir`. Emptied when
            the shards are complete.
        progress: whether to show a bar.

    Raises:
        NoPhotosError: a folder is missing or holds no photo.
        DetectorModelError: no hand model could be had.
        DiskFullError: finished photos stay noted.
    """
    out_dir = Path(out_dir)
    found = find_photos(folders)
    account = _Account(found)
    unique = _unique_photos(found, account)
    folder = Path(checkpoint_dir or out_dir.parent / f".{out_dir.name}.journal") / _run_key(cfg)
    journal = Journal(folder)
    try:
        waiting = [
            (digest, photo.path) for digest, photo in unique.items() if digest not in journal
        ]
        bar = tqdm(
            process_photos(waiting, cfg, _worker_count(workers)),
            desc="photos", unit="photo", total=len(unique), initial=len(unique) - len(waiting),
            disable=not progress,
        )  # fmt: skip
        for result in bar:
            journal.add(result.key, result.outcome, result.images)
        crops = _take_stock(unique, journal, account)
        kept = _drop_near_duplicates(crops, account, cfg)
        manifest = _write(kept, journal, out_dir, cfg)
    finally:
        journal.close()
    shutil.rmtree(folder)
    return CollectResult(manifest, account.quarantine(), account.summary())


class _Account:
    """Counts by set, and the list of bad files."""

    def __init__(self, photos: Sequence[Photo]) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.bad: list[dict[str, str]] = []
        for photo in photos:
            self.counts[photo.set_name]["photos"] += 1

    def note_bad(self, photo: Photo, reason: str, detail: str) -> None:
        row = {"file": str(photo.path), "set": photo.set_name, "reason": reason, "detail": detail}
        self.bad.append(row)
        self.counts[photo.set_name][reason] += 1
        self.counts[photo.set_name]["quarantined"] += 1

    def quarantine(self) -> pd.DataFrame:
        return pd.DataFrame(self.bad, columns=["file", "set", "reason", "detail"])

    def summary(self) -> pd.DataFrame:
        columns = ["photos", "quarantined", *REASONS, "exact_duplicates", "without_hand"]
        columns += ["with_hand", "hands", "overlapping", *FLAWS, "near_duplicates", "crops"]
        table = pd.DataFrame(
            [[counts[column] for column in columns] for counts in self.counts.values()],
            index=pd.Index(self.counts, name="set"),
            columns=columns,
        ).sort_index()
        table.loc["all"] = table.sum()
        return table


def _unique_photos(photos: Sequence[Photo], account: _Account) -> dict[str, Photo]:
    """Photos by the SHA-256 of their bytes; of equal ones the first."""

    def digest_of(photo: Photo) -> str | BadPhoto:
        try:
            return hashlib.sha256(read_photo(photo.path)).hexdigest()
        except BadPhoto as error:
            return error

    unique: dict[str, Photo] = {}
    with ThreadPoolExecutor(_worker_count(None)) as pool:
        for photo, digest in zip(photos, pool.map(digest_of, photos), strict=True):
            if isinstance(digest, BadPhoto):
                account.note_bad(photo, digest.reason, digest.detail)
            elif digest in unique:
                account.counts[photo.set_name]["exact_duplicates"] += 1
            else:
                unique[digest] = photo
    return unique


@dataclass(frozen=True)
class _KeptCrop:
    photo: Photo
    digest: str
    number: int
    meta: dict[str, Any]

    @property
    def quality(self) -> float:
        """Sure and large is better; above the stored size more pixels do not help."""
        left, top, right, bottom = self.meta["box"]
        return float(self.meta["score"]) * min(max(right - left, bottom - top), 256)


def _take_stock(unique: dict[str, Photo], journal: Journal, account: _Account) -> list[_KeptCrop]:
    crops: list[_KeptCrop] = []
    for digest, photo in unique.items():
        outcome = journal.result(digest)
        if "reason" in outcome:
            account.note_bad(photo, outcome["reason"], outcome["detail"])
            continue
        counts = account.counts[photo.set_name]
        counts["with_hand" if outcome["hands"] else "without_hand"] += 1
        counts["hands"] += outcome["hands"]
        counts.update(outcome["dropped"])
        metas = enumerate(outcome["crops"])
        crops += [_KeptCrop(photo, digest, number, meta) for number, meta in metas]
    return crops


def _drop_near_duplicates(
    crops: Sequence[_KeptCrop], account: _Account, cfg: CollectConfig
) -> list[_KeptCrop]:
    dropped = near_duplicates(
        [crop.meta["perceptual_hash"] for crop in crops],
        [crop.quality for crop in crops],
        cfg.max_hash_distance,
    )
    kept = []
    for crop, drop in zip(crops, dropped.tolist(), strict=True):
        account.counts[crop.photo.set_name]["near_duplicates" if drop else "crops"] += 1
        if not drop:
            kept.append(crop)
    return kept


def _write(
    crops: Sequence[_KeptCrop], journal: Journal, out_dir: Path, cfg: CollectConfig
) -> pd.DataFrame:
    rows = []
    with ShardWriter(out_dir, cfg.items_per_shard) as writer:
        for crop in crops:
            key = f"{crop.digest[:16]}-{crop.number}"
            source = {
                "set": crop.photo.set_name, "group": crop.photo.group, "file": crop.photo.name,
                "sha256": crop.digest,
            }  # fmt: skip
            writer.add(key, journal.blob(crop.digest, crop.number), {**source, **crop.meta})
            rows.append({"key": key, **source, **crop.meta})
        manifest = pd.DataFrame(rows, columns=list(_MANIFEST_COLUMNS))
        with atomic_write(out_dir / MANIFEST_NAME) as path:
            manifest.to_parquet(path)
    return manifest


def _run_key(cfg: CollectConfig) -> str:
    """Names what decides a photo's result, so that notes of another setting are not taken up."""
    fields = set(PhotoConfig.model_fields) - {"model_cache", "allow_download"}
    settings = cfg.model_dump(mode="json", include=fields) | {"mediapipe": version("mediapipe")}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _worker_count(workers: int | None) -> int:
    return len(os.sched_getaffinity(0)) if workers is None else workers
