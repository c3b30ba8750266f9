"""Nodes of the `pretrain` pipeline."""

from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.crops import CropDataset, collate_crops
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.handmim import HandMIM, HandMIMConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image


def pretrain_handmim(
    hand_crops: Path,
    backbone: VitConfig,
    views: ViewConfig,
    method: HandMIMConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> tuple[Checkpoint, Checkpoint, dict[str, Any], pd.DataFrame]:
    """Train HandMIM; return the whole method, the backbone alone, final figures and history."""
    method = method.model_copy(update={"total_steps": training.steps})
    crops = CropDataset(hand_crops)
    seed_everything(training.seed)
    handmim = HandMIM(method, backbone, views)
    configs = {"cfg": method, "vit": backbone, "views": views}
    checkpoint = running_checkpoint(
        machine, "pretrain", training, data=crops.reader.fingerprint, **configs
    )
    result = train(
        TrainJob(
            "pretrain", handmim, crops, collate_crops, training, machine, checkpoint,
            sink=RecordLogger("pretrain"),
        )
    )  # fmt: skip
    handmim.load_state_dict(result.tensors)
    packed = pack_method("handmim", result.tensors, **configs)
    trunk = Checkpoint(handmim.backbone_state(), {"backbone": backbone.model_dump(mode="json")})
    metrics = {"crops": len(crops), "steps": training.steps, **result.final_figures()}
    return packed, trunk, metrics, result.table()


def draw_curves(history: pd.DataFrame) -> Image.Image:
    """Losses and monitors over the steps."""
    return to_image(training_curves(history, title="HandMIM pretraining"))
