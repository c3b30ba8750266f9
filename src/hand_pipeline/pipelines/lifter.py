"""The lifter: train it on detected landmarks of labelled hands and of photos, and score it."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field, model_validator

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_mix import HandMix, MixConfig, open_labelled_hands
from hand_pipeline.data.labels_in_memory import LabelsInMemory
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.model_scores import score_models
from hand_pipeline.evaluation.predict import ScoringConfig, predict_set
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.lifter import Lifter, LifterConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, Watch, open_hands, train
from hand_pipeline.viz.curves import draw_curves

ROWS = {"mean_hand": "mean hand", "lifter": "lifter, landmarks alone"}


class LifterTrainingConfig(LabelledTrainingConfig):
    """On which hands the lifter learns, and how."""

    photos: float = Field(
        1.0,
        ge=0,
        description="share of photos' hands with fitted labels (`pseudo_label`), relative to the "
        "labelled hands; 0: none",
    )
    method: LifterConfig = LifterConfig()
    training: TrainConfig

    @model_validator(mode="after")
    def _photos_can_be_left_out(self) -> "LifterTrainingConfig":
        if self.labels.left_out is not None and not self.photos:
            raise ValueError(
                f"labels.left_out is {self.labels.left_out!r}, a set of photos, but photos is 0: "
                "nothing is learnt from any"
            )
        return self


def train_lifter(
    folder: Path,
    keypoints: Path,
    photos: Path,
    photo_keypoints: Path,
    cfg: LifterTrainingConfig,
    machine: MachineConfig,
) -> Trained:
    """Train on labelled hands and those of photos, without their images."""
    everything = cfg.labels.model_copy(update={"left_out": None})  # it is a set of photos
    renders = cfg.model_copy(update={"labels": everything})
    hands: LabelsInMemory | HandMix = _open(folder, keypoints, renders, machine)
    if cfg.photos:
        alone = cfg.model_copy(update={"mix": MixConfig()})
        fitted = _open(photos, photo_keypoints, alone, machine)
        weights = {"labelled": 1.0, "photos": cfg.photos}
        hands = HandMix({"labelled": hands, "photos": fitted}, weights)

    def build() -> Lifter:
        lifter = Lifter(cfg.method, cfg.augmentation)
        lifter.crop_scale.fill_(hands.crop_scale)
        return lifter

    counts = {"hands": len(hands), "steps": cfg.training.steps}
    watch = Watch(RecordLogger("lifter"), validator_of(hands, cfg.validation, machine))
    return train("lifter", build, hands, cfg.training, machine, counts, watch)


def _open(
    folder: Path, keypoints: Path, cfg: LifterTrainingConfig, machine: MachineConfig
) -> LabelsInMemory:
    read = open_hands("lifter", folder, cfg, cfg.method.mano_model, machine, keypoints)
    assert isinstance(read, WithKeypoints)  # keypoints were given
    return LabelsInMemory(read, cfg.augmentation.image_size, machine.num_workers)


def score(
    hands: Path, keypoints: Path, lifter: Checkpoint, cfg: ScoringConfig, machine: MachineConfig
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics and results table on the held-out hands, beside the mean hand."""
    folder = machine.workspace / "lifter" / "predicted_hands"
    shutil.rmtree(folder, ignore_errors=True)
    model = restore_as(Lifter, lifter, "the checkpoint of the lifter").to(machine.device)
    labelled = open_labelled_hands(hands, "evaluation", model.mano)
    held_out = WithKeypoints(labelled, keypoints_of(keypoints, labelled, "evaluation"))
    mean = mean_hand_of(open_labelled_hands(hands, "training", model.mano))
    for name, predict in {"mean_hand": mean.predict, "lifter": model.predict}.items():
        predict_set(name, predict, held_out, folder, cfg, machine)
    found = score_models(ROWS, cfg, folder)
    return found.metrics, found.table


def create_pipeline() -> Pipeline:
    """Labelled hands and detected landmarks in, a trained lifter and its metrics out."""
    given = ["labelled_hands", "hand_keypoints"]
    return Pipeline(
        [
            Node(
                train_lifter,
                [*given, "pseudo_hands", "pseudo_keypoints", "params:lifter", "params:machine"],
                ["lifter_method", "lifter_metrics", "lifter_history"],
                name="train_lifter",
            ),
            Node(
                score,
                [*given, "lifter_method", "params:lifter_evaluation", "params:machine"],
                ["lifter_scores_metrics", "lifter_table"],
                name="score_lifter",
            ),
            Node(
                draw_curves,
                {"lifter": "lifter_history"},
                "lifter_curves",
                name="draw_lifter_curves",
            ),
        ]
    )
