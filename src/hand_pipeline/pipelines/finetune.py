"""Fine-tune to MANO hands: from scratch, and from the pretrained backbone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_mix import MixConfig, open_training_hands
from hand_pipeline.methods.pymaf.pymaf import PyMAF, PyMAFConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.models.vit_weights import load_into
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.hands_run import bad_photos_of, train_on_hands
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image

Finished = tuple[Checkpoint, dict[str, Any], pd.DataFrame]


class SupervisedConfig(Config):
    """The baseline that no pretraining of ours precedes."""

    init: str | None = Field(
        None,
        description="what its ViT starts from: 'random', 'imagenet' (a download) or a local file; "
        "null: as the backbone's own `init`",
    )


def finetune_supervised(
    supervised: SupervisedConfig,
    hands: Path,
    backbone: VitConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: PyMAFConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """The baseline: start at random, from ImageNet's weights or from a local file."""
    seed_everything(training.seed)
    if supervised.init is not None:
        backbone = backbone.model_copy(update={"init": supervised.init})
    pymaf = PyMAF(method, backbone, augmentation)
    configs = {"cfg": method, "vit": backbone, "augmentation": augmentation}
    return _finetune("supervised", pymaf, configs, hands, labels, mix, training, machine)


def finetune_pretrained(
    pretrained: Checkpoint,
    hands: Path,
    backbone: VitConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: PyMAFConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """Start from the backbone that `pretrain` made; everything else is as in the baseline."""
    seed_everything(training.seed)
    pymaf = PyMAF(method, backbone, augmentation)
    load_into(pymaf.backbone.trunk, pretrained.tensors, "the pretrained backbone")
    configs = {"cfg": method, "vit": backbone, "augmentation": augmentation}
    return _finetune("handmim", pymaf, configs, hands, labels, mix, training, machine)


def _finetune(
    name: str,
    pymaf: PyMAF,
    configs: Mapping[str, Config],
    hands: Path,
    labels: LabelsConfig,
    mix: MixConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    stage = f"finetune_{name}"
    bad_photos = bad_photos_of(machine, stage)
    dataset = open_training_hands(hands, mix, labels, pymaf.cfg.mano_model, bad_photos)
    pymaf.crop_scale.fill_(dataset.crop_scale)
    result, metrics = train_on_hands(
        stage, pymaf, dataset, training, machine, configs, RecordLogger(stage)
    )
    return pack_method("pymaf", result.tensors, **configs), metrics, result.table()


def draw_curves(supervised: pd.DataFrame, handmim: pd.DataFrame) -> Image.Image:
    """Both runs' losses over the steps."""
    runs = {"supervised": supervised, "handmim": handmim}
    return to_image(training_curves(runs, title="Fine-tuning to MANO hands"))


COMMON = [
    "labelled_hands",
    "params:backbone",
    "params:finetune.labels",
    "params:finetune.mix",
    "params:finetune.augmentation",
    "params:finetune.pymaf",
    "params:finetune.training",
    "params:machine",
]


def create_pipeline() -> Pipeline:
    """Labelled hands and a backbone in, two models out."""
    return Pipeline(
        [
            Node(
                finetune_supervised,
                ["params:finetune.supervised", *COMMON],
                ["supervised_method", "finetune_supervised_metrics", "finetune_supervised_history"],
                name="finetune_supervised",
            ),
            Node(
                finetune_pretrained,
                ["pretrained_backbone", *COMMON],
                ["handmim_method", "finetune_handmim_metrics", "finetune_handmim_history"],
                name="finetune_handmim",
            ),
            Node(
                draw_curves,
                ["finetune_supervised_history", "finetune_handmim_history"],
                "finetune_curves",
                name="draw_finetune_curves",
            ),
        ]
    )
