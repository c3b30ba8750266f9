"""The node of the `maskhand` pipeline that trains."""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from hand_pipeline.config import MachineConfig
from hand_pipeline.methods.maskhand.config import MaskHandConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.pose_tokenizer import sizes_of
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, open_hands, train


class MaskHandTrainingConfig(LabelledTrainingConfig):
    """On which hands MaskHand learns, what its encoder starts from, and how."""

    start: Literal["finetuned", "init"] = Field(
        "finetuned",
        description="HandMIM's backbone after fine-tuning (the paper's starts from one that knows "
        "hands, too), or what the backbone's configuration says",
    )
    encoder: dict[str, Any] = Field(
        {}, description="what differs from `backbone`; nothing if it starts from the fine-tuned one"
    )
    method: MaskHandConfig
    training: TrainConfig


def train_maskhand(
    folder: Path,
    keypoints: Path,
    tokenizer: Checkpoint,
    finetuned: Checkpoint,
    cfg: MaskHandTrainingConfig,
    backbone: VitConfig,
    machine: MachineConfig,
) -> Trained:
    """Train MaskHand with the frozen tokenizer."""
    vit = VitConfig(**{**backbone.model_dump(), **cfg.encoder})
    sizes = sizes_of(tokenizer.metadata["configs"]["cfg"], cfg.method.tokenizer, "tokenizer_method")
    method = cfg.method.model_copy(update={"tokenizer": sizes})
    hands = open_hands("maskhand", folder, cfg, method.mano_model, machine, keypoints)

    def build() -> MaskHand:
        maskhand = MaskHand(method, vit, cfg.augmentation)
        maskhand.load_tokenizer(tokenizer.tensors, "tokenizer_method")
        if cfg.start == "finetuned":
            maskhand.load_backbone(backbone_of(finetuned), "the backbone of handmim_method")
        maskhand.crop_scale.fill_(hands.crop_scale)
        return maskhand

    counts = {"hands": len(hands), "steps": cfg.training.steps}
    return train("maskhand", build, hands, cfg.training, machine, counts, RecordLogger("maskhand"))


def backbone_of(finetuned: Checkpoint) -> dict[str, Tensor]:
    """The ViT of a fine-tuned model, under timm's names."""
    prefix = "backbone.trunk."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in finetuned.tensors.items()
        if name.startswith(prefix)
    }
