"""A training run on labelled hands: its running checkpoint, its figures, photos left out."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_dataset import LabelledSubset
from hand_pipeline.data.hand_images import read_bad_photos
from hand_pipeline.data.hand_mix import HandMix
from hand_pipeline.training.checkpoint import tensors_hash
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Method
from hand_pipeline.training.run import RecordSink, TrainJob, TrainResult, running_checkpoint, train

logger = logging.getLogger(__name__)


TrainingHands = HandMix | LabelledSubset | WithKeypoints
"""What `hand_mix.open_training_hands` gives, with keypoints or without."""


class HandsRun(NamedTuple):
    """A finished run.

    Attributes:
        result: weights and history.
        metrics: hands, steps, unreadable photos and the last record's figures.
    """

    result: TrainResult
    metrics: dict[str, Any]


def bad_photos_of(machine: MachineConfig, stage: str) -> Path:
    """Where a stage's data set notes the photos that it cannot read."""
    return machine.workspace / stage / "bad_photos.jsonl"


def train_on_hands(
    stage: str,
    method: Method,
    hands: TrainingHands,
    training: TrainConfig,
    machine: MachineConfig,
    configs: Mapping[str, Config],
    sink: RecordSink,
) -> HandsRun:
    """Train, going on from the running checkpoint of the same run if there is one.

    Args:
        stage: names the run; `bad_photos_of` it is where `hands` notes what it cannot read.
        method: as it starts.
        hands: what it learns from.
        training: steps, learning rate.
        machine: where it runs.
        configs: all else that decides the result.
        sink: takes the records.
    """
    bad_photos = bad_photos_of(machine, stage)
    start = tensors_hash(method.state_dict())
    checkpoint = running_checkpoint(
        machine, stage, training, data=hands.fingerprint, start=start, **configs
    )
    if not checkpoint.exists():
        bad_photos.unlink(missing_ok=True)  # of another run
    job = TrainJob(stage, method, hands, hands.collate, training, machine, checkpoint, sink=sink)
    result = train(job)
    bad = read_bad_photos(bad_photos)
    for row in bad:
        logger.warning("left out %(file)s: %(reason)s, %(detail)s", row)
    metrics = {
        "hands": len(hands), "steps": training.steps, "unreadable_photos": len(bad),
        **result.final_figures(),
    }  # fmt: skip
    return HandsRun(result, metrics)
