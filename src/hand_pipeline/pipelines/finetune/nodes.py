"""Nodes of the `finetune` pipeline."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_images import read_bad_photos
from hand_pipeline.data.hand_mix import MixConfig, open_training_hands
from hand_pipeline.methods.pymaf import PyMAF, PyMAFConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.models.vit_weights import load_into
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method, tensors_hash
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image

logger = logging.getLogger(__name__)
Finished = tuple[Checkpoint, dict[str, Any], pd.DataFrame]


def finetune_supervised(
    hands: Path,
    backbone: VitConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: PyMAFConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """The baseline: start from the backbone's own `init` (random, ImageNet or a local file)."""
    seed_everything(training.seed)
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
    bad_photos = machine.workspace / f"finetune_{name}" / "bad_photos.jsonl"
    dataset = open_training_hands(hands, mix, labels, pymaf.cfg.mano_model, bad_photos)
    pymaf.crop_scale.fill_(dataset.crop_scale)
    start = tensors_hash(pymaf.state_dict())
    checkpoint = running_checkpoint(
        machine, f"finetune_{name}", training, data=dataset.fingerprint, start=start, **configs
    )
    if not checkpoint.exists():
        bad_photos.unlink(missing_ok=True)  # of another run
    result = train(
        TrainJob(
            f"finetune {name}", pymaf, dataset, dataset.collate, training, machine, checkpoint,
            sink=RecordLogger(f"finetune_{name}"),
        )
    )  # fmt: skip
    bad = read_bad_photos(bad_photos)
    for row in bad:
        logger.warning("left out %(file)s: %(reason)s, %(detail)s", row)
    metrics = {
        "hands": len(dataset), "steps": training.steps, "unreadable_photos": len(bad),
        **result.final_figures(),
    }  # fmt: skip
    return pack_method("pymaf", result.tensors, **configs), metrics, result.table()


def draw_curves(supervised: pd.DataFrame, handmim: pd.DataFrame) -> Image.Image:
    """Both runs' losses over the steps."""
    runs = {"supervised": supervised, "handmim": handmim}
    return to_image(training_curves(runs, title="Fine-tuning to MANO hands"))
