"""Models side by side: on real photos with labels by people (finger tips, stretched fingers, digit
signs), and on sets with 3D labels."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from kedro.pipeline import Node, Pipeline

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.detected_keypoints import (
    DetectedKeypoints,
    WithKeypoints,
    read_keypoints,
)
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import open_hand_set
from hand_pipeline.data.photos.detect_hands import detect_keypoints
from hand_pipeline.data.photos.detector import HandDetector
from hand_pipeline.data.photos.probe_photos import ProbePhotos, read_probe_photos, with_manifest
from hand_pipeline.evaluation.model_scores import score_models
from hand_pipeline.evaluation.photo_scores import (
    FoundHands,
    PhotoScoresConfig,
    Predict,
    find_hands,
    fit_photos,
    score_photos,
)
from hand_pipeline.evaluation.predict import ScoringConfig, predict_set
from hand_pipeline.evaluation.refine import refine_hands
from hand_pipeline.methods import restore_as, untrained_method
from hand_pipeline.provenance import code_hash, run_key
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
    for name, predict, crop_scale in _rows(cfg, machine):
        metrics[name] = {}
        for chosen, question in cfg.sets.items():
            photos, found = seen[chosen]
            hands = fit_photos(predict, crop_scale, photos, found, cfg, machine)
            metrics[name][chosen] = score_photos(question, photos, found, hands, cfg.probe)
        logger.info("%s: %s", name, metrics[name])
    rows = [
        {"model": name} | {f"{s} {key}": v for s, row in found.items() for key, v in row.items()}
        for name, found in metrics.items()
    ]
    return {"models": len(rows), **metrics}, pd.DataFrame(rows)


def score_labelled(cfg: PhotoScoresConfig, machine: MachineConfig) -> Scores:
    """Metrics of each model by labelled set, and the table: a row a set and model.

    The detector looks at each picture once, unless a set says where its joints are.
    """
    metrics: dict[str, Any] = {}
    tables = [pd.DataFrame(columns=["set"])]
    for name, member in cfg.labelled.items():
        hands = open_hand_set(
            member.hand_set or name, member.path, member.split, partial=member.partial
        )
        seen = WithKeypoints(hands, _joints_of(hands, member.keypoints, cfg, machine))
        folder = machine.workspace / "photo_scores" / name
        shutil.rmtree(folder, ignore_errors=True)
        scoring, titles = ScoringConfig(batch_size=cfg.batch_size), {}
        for title, predict, _ in _rows(cfg, machine):
            predict_set(title, predict, seen, folder, scoring, machine)
            titles[title] = title
        found = score_models(titles, scoring, folder)
        metrics[name] = found.metrics
        tables.append(found.table.assign(set=name))
    return {"sets": len(metrics), **metrics}, pd.concat(tables, ignore_index=True)


def _joints_of(
    hands: HandImages, file: Path | None, cfg: PhotoScoresConfig, machine: MachineConfig
) -> DetectedKeypoints:
    if file is not None:
        return read_keypoints(file.parent, file.stem)
    key = run_key(
        detector=cfg.detector.model_dump(mode="json"), hands=hands.fingerprint,
        code=code_hash(__name__),
    )  # fmt: skip
    parts = machine.workspace / "photo_scores" / "joints" / key
    return detect_keypoints(hands, cfg.detector, parts, machine.workers).keypoints


class _Row(NamedTuple):
    """What is scored: a model, and the side of its crops in longer sides of the hand."""

    name: str
    predict: Predict
    crop_scale: float


def _rows(cfg: PhotoScoresConfig, machine: MachineConfig) -> Iterator[_Row]:
    """The mean hand, what needs no training, and each model whose file is there."""
    mediapipe = _untrained("mediapipe").to(machine.device)
    yield _Row("mean_hand", partial(_unseen, mediapipe), float(mediapipe.crop_scale))
    for name in cfg.untrained:
        model = _untrained(name).to(machine.device)
        yield _Row(name, model.predict, float(model.crop_scale))
    for name, path in cfg.models.items():
        if not path.is_file():
            logger.warning("%s is left out: there is no checkpoint at %s", name, path)
            continue
        model = restore_as(Reconstructor, load_checkpoint(path), str(path)).to(machine.device)
        yield _Row(name, model.predict, float(model.crop_scale))
        if cfg.refined:
            yield _Row(f"{name} refined", partial(_refined, model), float(model.crop_scale))


def _untrained(name: str) -> Reconstructor:
    model = untrained_method(name)
    assert isinstance(model, Reconstructor)  # another has no hands to score
    return model


def _unseen(mediapipe: Reconstructor, batch: HandBatch) -> HandHypotheses:
    """Of landmarks that nobody saw: the mean hand in the middle of the crop."""
    assert batch.keypoints is not None  # the detector looked
    nothing = batch.keypoints._replace(confidence=0 * batch.keypoints.confidence)
    return mediapipe.predict(replace(batch, keypoints=nothing))


def _refined(model: Reconstructor, batch: HandBatch) -> HandHypotheses:
    return refine_hands(model.predict(batch), batch, model.mano)


def create_pipeline() -> Pipeline:
    """A folder of labelled photos and checkpoints in, a table out."""
    return Pipeline(
        [
            Node(
                score,
                ["params:photo_scores", "params:machine"],
                ["photo_scores_metrics", "photo_scores_table"],
                name="score_photos",
            ),
            Node(
                score_labelled,
                ["params:photo_scores", "params:machine"],
                ["labelled_scores_metrics", "labelled_scores_table"],
                name="score_labelled",
            ),
        ]
    )
