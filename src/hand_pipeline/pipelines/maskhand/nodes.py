"""Nodes of the `maskhand` pipeline that train."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd
from PIL import Image
from torch import Tensor

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_mix import MixConfig, open_training_hands
from hand_pipeline.methods.maskhand.maskhand import MaskHand, MaskHandConfig
from hand_pipeline.methods.maskhand.pose_tokenizer import sizes_of
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.hands_run import bad_photos_of, train_on_hands
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image


def train_maskhand(
    hands: Path,
    keypoints: Path,
    tokenizer: Checkpoint,
    finetuned: Checkpoint,
    start: Literal["finetuned", "init"],
    backbone: VitConfig,
    encoder: dict[str, Any],
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: MaskHandConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> tuple[Checkpoint, dict[str, Any], pd.DataFrame]:
    """Train MaskHand with the frozen tokenizer.

    Args:
        start: what the encoder starts from: `finetuned`, HandMIM's backbone after fine-tuning (the
            paper's starts from one that knows hands, too), or `init`, what the backbone's
            configuration says.
        encoder: what differs in this encoder from `backbone`; nothing if it starts from it.
    """
    vit = VitConfig(**{**backbone.model_dump(), **encoder})
    sizes = sizes_of(tokenizer.metadata["configs"]["cfg"], method.tokenizer, "tokenizer_method")
    method = method.model_copy(update={"tokenizer": sizes})
    seed_everything(training.seed)
    maskhand = MaskHand(method, vit, augmentation)
    maskhand.load_tokenizer(tokenizer.tensors, "tokenizer_method")
    if start == "finetuned":
        maskhand.load_backbone(backbone_of(finetuned), "the backbone of handmim_method")
    bad_photos = bad_photos_of(machine, "maskhand")
    dataset = open_training_hands(hands, mix, labels, method.mano_model, bad_photos)
    guided = WithKeypoints(dataset, keypoints_of(keypoints, dataset))
    maskhand.crop_scale.fill_(dataset.crop_scale)
    configs = {"cfg": method, "vit": vit, "augmentation": augmentation}
    result, metrics = train_on_hands(
        "maskhand", maskhand, guided, training, machine, configs, RecordLogger("maskhand")
    )
    return pack_method("maskhand", result.tensors, **configs), metrics, result.table()


def backbone_of(finetuned: Checkpoint) -> dict[str, Tensor]:
    """The ViT of a fine-tuned model, under timm's names."""
    prefix = "backbone.trunk."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in finetuned.tensors.items()
        if name.startswith(prefix)
    }


def draw_curves(history: pd.DataFrame) -> Image.Image:
    """Losses, share of right tokens and errors over the steps."""
    return to_image(training_curves(history, title="MaskHand: masked tokens of hand poses"))
