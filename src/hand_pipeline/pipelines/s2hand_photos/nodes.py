"""Nodes of the `s2hand_photos` pipeline that train: S2HAND goes on, on photos without any label.

Chen et al., CVPR 2021, sections 3 and 4: the joint stage on the crops of the collect stage, whose
only supervision is MediaPipe's landmarks and the photos themselves.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, tensors_hash
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image

logger = logging.getLogger(__name__)


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
        DataSetError: no photos to learn from, or none to measure on.
    """
    model = restore_as(S2Hand, start, "the checkpoint to start from")
    if model.cfg.supervision != "self":
        raise ValueError(
            f"photos have no labels, but the model to start from has supervision "
            f"{model.cfg.supervision!r}; start from s2hand_method, trained with 'self'"
        )
    seed_everything(training.seed)
    reader = ShardReader(crops)
    PhotoHands(reader, cfg, held_out=True)  # there are some: known before the training, not after
    photos = PhotoHands(reader, cfg)
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
        "hands": len(photos), "hands_by_set": dict(sorted(Counter(photos.sets).items())),
        "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())), **result.final_figures(),
    }  # fmt: skip
    logger.info(
        "%d hands of photos, %d of them with the default camera; skipped: %s",
        len(photos), metrics["default_camera"], metrics["skipped"] or "none",
    )  # fmt: skip
    return Checkpoint(result.tensors, start.metadata), metrics, result.table()


def draw_curves(history: pd.DataFrame) -> Image.Image:
    """Losses and distances over the steps."""
    return to_image(training_curves(history, title="S2HAND on photos without labels"))
