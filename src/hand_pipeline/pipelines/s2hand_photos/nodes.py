"""Nodes of the `s2hand_photos` pipeline: S2HAND goes on learning on photos without any label.

Chen et al., CVPR 2021, sections 3 and 4: the joint stage on the crops of the collect stage, whose
only supervision is MediaPipe's landmarks and the photos themselves. No 3D truth exists for them, so
what is measured is how far the projected joints lie from the detected ones, on photos that were
held out, before and after.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards import ShardReader
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, tensors_hash
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.s2hand_config import REFERENCE_SIZE
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.textured import textured_sheet

logger = logging.getLogger(__name__)


class PhotoEvaluationConfig(Config):
    """What is shown of the held-out photos."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    shown: int = Field(15, gt=0, description="hands in the picture")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def train_on_photos(
    crops: Path,
    start: Checkpoint,
    cfg: PhotoHandsConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> tuple[Checkpoint, dict[str, Any], pd.DataFrame]:
    """The model of the joint stage, trained on photos with what its configuration says.

    Raises:
        TypeError: the checkpoint is of another method.
        ValueError: its model learns from labels, which photos lack.
    """
    model = _s2hand(start)
    if model.cfg.supervision != "self":
        raise ValueError(
            f"photos have no labels, but the model to start from has supervision "
            f"{model.cfg.supervision!r}; start from s2hand_method, trained with 'self'"
        )
    seed_everything(training.seed)
    photos = PhotoHands(ShardReader(crops), cfg)
    model.crop_scale.fill_(photos.crop_scale)
    checkpoint = running_checkpoint(
        machine, "s2hand_photos", training, data=photos.fingerprint,
        start=tensors_hash(model.state_dict()), cfg=model.cfg,
    )  # fmt: skip
    result = train(
        TrainJob(
            "s2hand_photos", model, photos, photos.collate, training, machine, checkpoint,
            sink=RecordLogger("s2hand_photos"),
        )
    )  # fmt: skip
    metrics = {
        "hands": len(photos), "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())), **result.final_figures(),
    }  # fmt: skip
    logger.info(
        "%d hands of photos, %d of them with the default camera; skipped: %s",
        len(photos), metrics["default_camera"], metrics["skipped"] or "none",
    )  # fmt: skip
    return Checkpoint(result.tensors, start.metadata), metrics, result.table()


def compare_on_photos(
    crops: Path,
    before: Checkpoint,
    after: Checkpoint,
    cfg: PhotoHandsConfig,
    evaluation: PhotoEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Distance of projected from detected joints on held-out photos, before and after.

    Returns:
        Means by model, and a row a hand with `camera`: "default" where it was not known.
    """
    photos = PhotoHands(ShardReader(crops), cfg, held_out=True)
    rows = pd.DataFrame({"id": photos.ids, "camera": np.where(photos.guessed, "default", "known")})
    metrics: dict[str, Any] = {
        "held_out_hands": len(photos), "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())),
    }  # fmt: skip
    for name, checkpoint in {"before": before, "after": after}.items():
        errors = _errors(_s2hand(checkpoint), photos, evaluation, machine)
        rows[f"{name}_px"] = errors
        metrics[name] = {
            "error_mean_px": float(errors.mean()), "error_median_px": float(np.median(errors))
        }  # fmt: skip
    return metrics, rows


def draw_photos(
    crops: Path,
    after: Checkpoint,
    cfg: PhotoHandsConfig,
    evaluation: PhotoEvaluationConfig,
    machine: MachineConfig,
) -> Image.Image:
    """Some held-out hands, drawn at random: the photo, the render over the photo, the render."""
    photos = PhotoHands(ShardReader(crops), cfg, held_out=True)
    device = _device(machine)
    model = _s2hand(after).to(device)
    count = min(evaluation.shown, len(photos))
    chosen = np.random.default_rng(evaluation.seed).choice(len(photos), count, replace=False)
    batch = photos.collate([photos[row] for row in sorted(chosen.tolist())]).to(device)
    with torch.inference_mode():
        found = model.textured(batch.images, batch.intrinsics)
    return textured_sheet(
        batch.images, found.vertices, found.colours, found.light, batch.intrinsics, model.mano.faces
    )


def draw_curves(history: pd.DataFrame) -> Image.Image:
    """Losses and distances over the steps."""
    return to_image(training_curves(history, title="S2HAND on photos without labels"))


def _errors(
    model: S2Hand, photos: PhotoHands, cfg: PhotoEvaluationConfig, machine: MachineConfig
) -> np.ndarray:
    """Mean distance of each hand's projected joints from the detected ones, px of a 224 px crop.

    Joints outside the photo do not count.
    """
    device = _device(machine)
    model.to(device)
    unit, errors = REFERENCE_SIZE / model.image_size, []
    batches = batches_in_order(photos, photos.collate, cfg.batch_size, machine.num_workers)
    with torch.inference_mode():
        for batch in (each.to(device) for each in batches):
            assert batch.keypoints is not None  # `PhotoHands` gives them with every batch
            detected = batch.keypoints.points * (REFERENCE_SIZE / batch.images.shape[-1])
            found = model.predict(batch.images, batch.intrinsics, batch.ids)
            distance = (found.joints_2d * unit - detected).norm(dim=-1)
            seen = (batch.keypoints.confidence > 0).float()
            errors.append(((distance * seen).sum(1) / seen.sum(1)).cpu())
    values: np.ndarray = torch.cat(errors).numpy()
    return values


def _s2hand(checkpoint: Checkpoint) -> S2Hand:
    method = restore_method(checkpoint, "the checkpoint to start from")
    if not isinstance(method, S2Hand):
        raise TypeError(f"expected an S2HAND, the checkpoint holds {type(method).__name__}")
    return method


def _device(machine: MachineConfig) -> str:
    return "cuda" if machine.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
