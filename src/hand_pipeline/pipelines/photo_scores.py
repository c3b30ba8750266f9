"""Models on real photos with labels by people: finger tips, stretched fingers, digit signs."""

import logging
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.detector import HandDetector
from hand_pipeline.data.photos.probe_photos import ProbePhotos, read_probe_photos, with_manifest
from hand_pipeline.evaluation.photo_scores import (
    FoundHands,
    PhotoScoresConfig,
    find_hands,
    fit_photos,
    score_photos,
)
from hand_pipeline.methods import restore_as, untrained_method
from hand_pipeline.training.checkpoint import load_checkpoint
from hand_pipeline.training.method import Reconstructor

logger = logging.getLogger(__name__)
Scores = tuple[dict[str, Any], pd.DataFrame]


def score(cfg: PhotoScoresConfig, machine: MachineConfig) -> Scores:
    """Metrics of each model by set, and the table: a row a model."""
    if (folder := with_manifest(cfg.folder, "photo_scores")) is None:
        return {"models": 0}, pd.DataFrame(columns=["model"])
    detector = HandDetector(cfg.detector)
    seen: dict[str, tuple[ProbePhotos, FoundHands]] = {}
    for name in cfg.sets:
        photos = read_probe_photos(folder, name, 256)
        seen[name] = photos, find_hands(photos, detector, name)
    metrics: dict[str, Any] = {}
    for name, model in _models(cfg):
        model.to(machine.device)
        metrics[name] = {}
        for chosen, question in cfg.sets.items():
            photos, found = seen[chosen]
            hands = fit_photos(model.predict, float(model.crop_scale), photos, found, cfg, machine)
            metrics[name][chosen] = score_photos(question, photos, found, hands, cfg.probe)
        logger.info("%s: %s", name, metrics[name])
    rows = [
        {"model": name} | {f"{s} {key}": v for s, row in found.items() for key, v in row.items()}
        for name, found in metrics.items()
    ]
    return {"models": len(rows), **metrics}, pd.DataFrame(rows)


def _models(cfg: PhotoScoresConfig) -> list[tuple[str, Reconstructor]]:
    """By name; one whose file is not there is left out, with a warning."""
    found = []
    for name in cfg.untrained:
        model = untrained_method(name)
        assert isinstance(model, Reconstructor)  # another has no hands to score
        found.append((name, model))
    for name, path in cfg.models.items():
        if path.is_file():
            found.append((name, restore_as(Reconstructor, load_checkpoint(path), str(path))))
        else:
            logger.warning("%s is left out: there is no checkpoint at %s", name, path)
    return found


def create_pipeline() -> Pipeline:
    """A folder of labelled photos and checkpoints in, a table out."""
    return Pipeline(
        [
            Node(
                score,
                ["params:photo_scores", "params:machine"],
                ["photo_scores_metrics", "photo_scores_table"],
                name="score_photos",
            )
        ]
    )
