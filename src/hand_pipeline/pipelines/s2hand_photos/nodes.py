"""Nodes of the `s2hand_photos` pipeline that train: S2HAND goes on, on photos without any label.

Chen et al., CVPR 2021, sections 3 and 4: the joint stage on the crops of the collect stage, whose
only supervision is MediaPipe's landmarks and the photos themselves.
"""

import logging
from collections import Counter
from pathlib import Path

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.photos.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import Trained, train

logger = logging.getLogger(__name__)


class PhotoTrainingConfig(Config):
    """From which photos S2HAND learns, and how long."""

    hands: PhotoHandsConfig
    training: TrainConfig


def train_on_photos(
    crops: Path, start: Checkpoint, cfg: PhotoTrainingConfig, machine: MachineConfig
) -> Trained:
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
    reader = ShardReader(crops)
    PhotoHands(reader, cfg.hands, held_out=True)  # some are there: known before, not after training
    photos = PhotoHands(reader, cfg.hands)
    model.crop_scale.fill_(photos.crop_scale)
    counts = {
        "hands": len(photos), "hands_by_set": dict(sorted(Counter(photos.sets).items())),
        "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())),
    }  # fmt: skip
    logger.info(
        "%d hands of photos, %d of them with the default camera; skipped: %s",
        len(photos), counts["default_camera"], counts["skipped"] or "none",
    )  # fmt: skip
    sink = RecordLogger("s2hand_photos")
    return train("s2hand_photos", lambda: model, photos, cfg.training, machine, counts, sink)
