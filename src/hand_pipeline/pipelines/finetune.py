"""Fine-tune to MANO hands: from scratch, and from the pretrained backbone."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from kedro.pipeline import Node, Pipeline
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.evaluation.frozen_probe import FrozenProbeConfig, probe_backbone
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, Watch, open_hands, train
from hand_pipeline.viz.curves import draw_curves

logger = logging.getLogger(__name__)

ORIGIN = ("pretrained_by", "start_left", "images_seen")
"""What a fine-tuned model's checkpoint says of its backbone's."""


class FinetuneConfig(LabelledTrainingConfig):
    """On which hands PyMAF's head and the backbone learn, and how."""

    method: PyMAFConfig
    training: TrainConfig


class SupervisedConfig(Config):
    """The baseline that no pretraining of ours precedes."""

    init: str | None = Field(
        None,
        description="what its ViT starts from: 'random', 'imagenet' (a download) or a local file; "
        "null: as the backbone's own `init`",
    )


def finetune_supervised(
    hands: Path,
    cfg: FinetuneConfig,
    supervised: SupervisedConfig,
    backbone: VitConfig,
    machine: MachineConfig,
) -> Trained:
    """The baseline: start at random, from ImageNet's weights or from a local file."""
    if supervised.init is not None:
        backbone = backbone.model_copy(update={"init": supervised.init})
    return _finetune("supervised", hands, cfg, backbone, machine)


def finetune_pretrained(
    hands: Path,
    cfg: FinetuneConfig,
    pretrained: Checkpoint,
    backbone: VitConfig,
    machine: MachineConfig,
) -> Trained:
    """Start from the backbone that `pretrain` made; everything else is as in the baseline."""
    return _finetune("handmim", hands, cfg, backbone, machine, pretrained)


def probe_pretrained(
    pretrained: Checkpoint,
    folder: Path,
    cfg: FinetuneConfig,
    probe: FrozenProbeConfig,
    machine: MachineConfig,
) -> dict[str, Any]:
    """What pretraining has taught, before any fine-tuning: see `evaluation.frozen_probe`."""
    hands = open_hands("frozen_probe", folder, cfg, cfg.method.mano_model, machine)
    found = probe_backbone(pretrained, hands, probe, machine)
    if found["ratio"] > 0.99:
        logger.warning(
            "a probe of the frozen backbone of %s tells joints no better than of a random start "
            "(%.2f against %.2f %% of the crop): pretraining has taught nothing that it reads",
            found.get("pretrained_by"), found["pretrained_percent"], found["random_percent"],
        )  # fmt: skip
    return found


def _finetune(
    name: str,
    folder: Path,
    cfg: FinetuneConfig,
    backbone: VitConfig,
    machine: MachineConfig,
    pretrained: Checkpoint | None = None,
) -> Trained:
    stage = f"finetune_{name}"
    hands = open_hands(stage, folder, cfg, cfg.method.mano_model, machine)

    def build() -> PyMAF:
        pymaf = PyMAF(cfg.method, backbone, cfg.augmentation)
        if pretrained is not None:
            pymaf.load_backbone(pretrained.tensors, "the pretrained backbone")
        pymaf.crop_scale.fill_(hands.crop_scale)
        return pymaf

    counts = {"hands": len(hands), "steps": cfg.training.steps}
    watch = Watch(RecordLogger(stage), validator_of(hands, cfg.validation, machine))
    trained = train(stage, build, hands, cfg.training, machine, counts, watch)
    origin = {"pretrained_by": None} if pretrained is None else pretrained.metadata
    kept = {key: origin[key] for key in ORIGIN if key in origin}
    checkpoint = replace(trained.checkpoint, metadata={**trained.checkpoint.metadata, **kept})
    return trained._replace(checkpoint=checkpoint)


def create_pipeline() -> Pipeline:
    """Labelled hands and a backbone in, two models out."""
    given, place = ["labelled_hands", "params:finetune"], ["params:backbone", "params:machine"]
    return Pipeline(
        [
            Node(
                finetune_supervised,
                [*given, "params:finetune_supervised", *place],
                ["supervised_method", "finetune_supervised_metrics", "finetune_supervised_history"],
                name="finetune_supervised",
            ),
            Node(
                finetune_pretrained,
                [*given, "pretrained_backbone", *place],
                ["handmim_method", "finetune_handmim_metrics", "finetune_handmim_history"],
                name="finetune_handmim",
            ),
            Node(
                probe_pretrained,
                [
                    "pretrained_backbone",
                    *given,
                    "params:frozen_probe",
                    "params:machine",
                ],
                "frozen_probe_metrics",
                name="probe_pretrained",
            ),
            Node(
                draw_curves,
                {
                    "supervised": "finetune_supervised_history",
                    "handmim": "finetune_handmim_history",
                },
                "finetune_curves",
                name="draw_finetune_curves",
            ),
        ]
    )
