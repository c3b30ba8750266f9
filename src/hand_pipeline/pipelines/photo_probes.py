"""What frozen features tell about hands on real photos: signs, fingers, finger tips."""

import logging
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.probe_photos import with_manifest
from hand_pipeline.evaluation.backbone_probes import (
    PhotoProbesConfig,
    restore_encoder,
    score_set,
)
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.tables import no_probes, probe_bars

logger = logging.getLogger(__name__)
RANDOM = "random"
Scores = tuple[dict[str, Any], pd.DataFrame]


def score_probes(pretrained: Checkpoint, cfg: PhotoProbesConfig, machine: MachineConfig) -> Scores:
    """What linear probes tell from each backbone's frozen features, on photos held out by group.

    The backbones: the pretrained one, the same network untrained, and `cfg.backbones`. Metrics are
    by features and set (`backbone_probes.score_set`); the table has a row a backbone.
    """
    if (folder := with_manifest(cfg.folder, "photo_probes")) is None:
        return {"backbones": 0}, pd.DataFrame(columns=["features"])
    metrics: dict[str, Any] = {}
    rows = []
    for name, checkpoint in _checkpoints(pretrained, cfg).items():
        encoder, size = restore_encoder(checkpoint, name, None if name != RANDOM else cfg.seed)
        metrics[name] = {
            chosen: score_set(encoder, size, folder, chosen, cfg, machine.device)
            for chosen in cfg.sets
        }
        flat = {f"{s} {k}": v for s, row in metrics[name].items() for k, v in row.items()}
        rows.append({"features": name, **flat})
        logger.info("%s: %s", name, metrics[name])
    return {"backbones": len(rows), **metrics}, pd.DataFrame(rows)


def draw_probes(table: pd.DataFrame, cfg: PhotoProbesConfig) -> Image.Image:
    """A panel a set: a bar a backbone, with chance or the mean place as a line."""
    if table.empty:
        return to_image(no_probes("No photos were given: nothing was probed."))
    return to_image(probe_bars(table, cfg.sets))


def _checkpoints(pretrained: Checkpoint, cfg: PhotoProbesConfig) -> dict[str, Checkpoint]:
    """By name: the untrained network first, then the pretrained one, then what else is there."""
    found = {RANDOM: pretrained, str(pretrained.metadata.get("pretrained_by")): pretrained}
    for name, path in cfg.backbones.items():
        if name in found:
            raise ValueError(f"photo_probes.backbones: {name!r} is taken; choose another name")
        if path.is_file():
            found[name] = load_checkpoint(path)
        else:
            logger.warning("%s is left out: there is no checkpoint at %s", name, path)
    return found


def create_pipeline() -> Pipeline:
    """A pretrained backbone and a folder of labelled photos in, a table and a figure out."""
    return Pipeline(
        [
            Node(
                score_probes,
                ["pretrained_backbone", "params:photo_probes", "params:machine"],
                ["photo_probes_metrics", "photo_probes_table"],
                name="score_photo_probes",
            ),
            Node(
                draw_probes,
                ["photo_probes_table", "params:photo_probes"],
                "photo_probes_picture",
                name="draw_photo_probes",
            ),
        ]
    )
