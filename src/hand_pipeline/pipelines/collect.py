"""Find hands in photos, crop them, and store the crops in shards."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.collect import CollectConfig, collect_crops
from hand_pipeline.data.photos.files import named_folders
from hand_pipeline.data.readers.coco_unlabeled import coco_listing
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.data.synthetic.config import PhotosConfig
from hand_pipeline.data.synthetic.photos import generate_photos
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.viz.labels import contact_sheet

logger = logging.getLogger(__name__)


def gather_photos(
    photos: Path, sources: dict[str, str], synthetic: PhotosConfig, machine: MachineConfig
) -> dict[str, Path] | list[Path]:
    """The sources where any are named, or the user's photos if there are any, or synthetic ones.

    A source of COCO's with photos missing is read all the same; the log has how many.
    """
    if sources:
        folders = named_folders(sources, "collect_sources")
        for name, folder in folders.items():
            if (listing := coco_listing(folder)) and listing.missing:
                logger.warning(
                    "%s: %d photos that %s lists are not in %s, the first is %s",
                    name, len(listing.missing), listing.path, folder, listing.missing[0],
                )  # fmt: skip
        return folders
    if any(entry.name != ".gitkeep" for entry in photos.iterdir()):
        return [photos]
    logger.info("no photos in %s: drawing %d synthetic ones", photos, synthetic.count)
    key = run_key(config=synthetic.model_dump(mode="json"), code=code_hash(__name__))
    drawn = machine.workspace / "photos" / key
    return [generate_photos(synthetic, drawn, workers=machine.workers)]


def collect_hands(
    photos: dict[str, Path] | list[Path], cfg: CollectConfig, machine: MachineConfig
) -> tuple[Path, pd.DataFrame, pd.DataFrame, dict[str, Any], Image.Image]:
    """Find, crop, filter and store hands; account for every photo left out."""
    folder = machine.workspace / "collect" / "hand_crops"
    result = collect_crops(
        photos, folder, cfg, machine.workers, machine.workspace / "collect" / "journal"
    )
    metrics: dict[str, Any] = {str(k): int(v) for k, v in result.summary.T["all"].to_dict().items()}
    summary = result.summary.reset_index()
    if isinstance(photos, dict):
        summary["crops_per_photo"] = (summary["crops"] / summary["photos"]).round(4)
        metrics["crops_per_photo"] = dict(zip(summary["set"], summary["crops_per_photo"].tolist()))
    logger.info("photos by set:\n%s", summary.to_string(index=False))
    return folder, summary, result.quarantine, metrics, contact_sheet(ShardReader(folder))


def create_pipeline() -> Pipeline:
    """Photos in, shards of crops out."""
    return Pipeline(
        [
            Node(
                gather_photos,
                ["photos", "params:collect_sources", "params:synthetic_photos", "params:machine"],
                "photos_to_search",
                name="gather_photos",
            ),
            Node(
                collect_hands,
                ["photos_to_search", "params:collect", "params:machine"],
                [
                    "hand_crops",
                    "collect_table",
                    "quarantine_table",
                    "collect_metrics",
                    "crops_picture",
                ],
                name="collect_hands",
            ),
        ]
    )
