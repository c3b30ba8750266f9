"""Label the hands of photos by fitting MANO to what a detector sees in them."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.pseudo_labels import (
    PseudoLabelConfig,
    account,
    label_crops,
)
from hand_pipeline.data.photos.pseudo_set import write_pseudo_hands, write_pseudo_keypoints
from hand_pipeline.data.readers.freihand import TIPS
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.viz.pseudo_labels import pseudo_label_sheet

logger = logging.getLogger(__name__)


def label_photos(
    crops: Path, cfg: PseudoLabelConfig, machine: MachineConfig
) -> tuple[Path, Path, pd.DataFrame, dict[str, Any], Image.Image]:
    """Labels of the crops of photos, as far as they can be believed.

    Returns:
        The set in FreiHAND's layout, its keypoints (an npz a split), a row a crop with its outcome,
        the counts, and a picture of accepted and rejected fits.
    """
    shards, mano = ShardReader(crops), ManoHand(cfg.mano_model, tips=TIPS)
    key = run_key(
        detector=cfg.detector.model_dump(mode="json"), copies=cfg.copies.model_dump(mode="json"),
        crops=shards.fingerprint, code=code_hash(__name__),
    )  # fmt: skip
    folder = machine.workspace / "pseudo_label"
    labels = label_crops(shards, cfg, mano, folder / key, machine.workers)
    hands, keypoints = folder / "pseudo_hands", folder / "pseudo_keypoints"
    for made in (hands, keypoints):
        shutil.rmtree(made, ignore_errors=True)
    write_pseudo_hands(labels, shards, mano, hands)
    write_pseudo_keypoints(labels, shards, cfg, keypoints)
    metrics = account(labels.table)
    logger.info("%s", {name: metrics[name] for name in ("outcomes", "training", "evaluation")})
    picture = pseudo_label_sheet(labels, shards, mano, cfg.shown, cfg.seed)
    return hands, keypoints, labels.table, metrics, picture


def create_pipeline() -> Pipeline:
    """Crops of photos in, labelled hands with the detector's joints out."""
    return Pipeline(
        [
            Node(
                label_photos,
                ["hand_crops", "params:pseudo_label", "params:machine"],
                [
                    "pseudo_hands",
                    "pseudo_keypoints",
                    "pseudo_label_table",
                    "pseudo_label_metrics",
                    "pseudo_label_picture",
                ],
                name="label_photos",
            )
        ]
    )
