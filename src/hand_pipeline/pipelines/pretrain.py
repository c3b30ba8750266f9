"""Pretrain a ViT on unlabelled crops."""

from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.shards.crops import UnlabelledConfig, collate_crops, open_crops
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.peclr.peclr import PeCLR, PeclrConfig
from hand_pipeline.methods.self_distillation.handmim import HandMIM, HandMIMConfig
from hand_pipeline.methods.self_distillation.ibot import Ibot, IbotConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image

Pretraining = Literal["handmim", "ibot", "peclr"]
TITLES: dict[str, str] = {"handmim": "HandMIM", "ibot": "iBOT", "peclr": "PeCLR"}


def pretrain(
    hand_crops: Path,
    unlabelled: UnlabelledConfig,
    backbone: VitConfig,
    views: ViewConfig,
    name: Pretraining,
    handmim: HandMIMConfig,
    ibot: IbotConfig,
    peclr: PeclrConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> tuple[Checkpoint, Checkpoint, dict[str, Any], pd.DataFrame]:
    """Train one of the methods; return it whole, its backbone alone, final figures and history.

    All of them get the same crops, views, backbone and steps; of `handmim`, `ibot` and `peclr` only
    the named one's configuration counts.
    """
    crops = open_crops(hand_crops, unlabelled)
    seed_everything(training.seed)
    method, cfg = _build(name, backbone, views, handmim, ibot, peclr, training.steps)
    configs = {"cfg": cfg, "vit": backbone, "views": views}
    checkpoint = running_checkpoint(
        machine, "pretrain", training, data=crops.fingerprint, method=name, **configs
    )
    result = train(
        TrainJob(
            "pretrain", method, crops, collate_crops, training, machine, checkpoint,
            sink=RecordLogger("pretrain"),
        )
    )  # fmt: skip
    method.load_state_dict(result.tensors)
    packed = pack_method(name, result.tensors, **configs)
    made_by = {"backbone": backbone.model_dump(mode="json"), "pretrained_by": name}
    if isinstance(cfg, PeclrConfig) and cfg.resnet is not None:
        made_by["resnet"] = cfg.resnet.model_dump(mode="json")
    trunk = Checkpoint(method.backbone_state(), made_by)
    metrics = {"crops": len(crops), "steps": training.steps, **result.final_figures()}
    return packed, trunk, metrics, result.table()


def _build(
    name: Pretraining,
    backbone: VitConfig,
    views: ViewConfig,
    handmim: HandMIMConfig,
    ibot: IbotConfig,
    peclr: PeclrConfig,
    steps: int,
) -> tuple[HandMIM | Ibot | PeCLR, Config]:
    """The named method, told the length of its run, and its configuration."""
    if name == "handmim":
        handmim = handmim.model_copy(update={"total_steps": steps})
        return HandMIM(handmim, backbone, views), handmim
    if name == "ibot":
        ibot = ibot.model_copy(update={"total_steps": steps})
        return Ibot(ibot, backbone, views), ibot
    if name == "peclr":
        return PeCLR(peclr, backbone, views), peclr
    raise ValueError(f"pretrain.method must be one of {', '.join(TITLES)}, got {name!r}")


def draw_curves(history: pd.DataFrame, name: Pretraining) -> Image.Image:
    """Losses and monitors over the steps."""
    return to_image(training_curves(history, title=f"{TITLES[name]} pretraining"))


def create_pipeline() -> Pipeline:
    """Crops in, backbone out."""
    return Pipeline(
        [
            Node(
                pretrain,
                [
                    "hand_crops",
                    "params:pretrain.unlabelled",
                    "params:backbone",
                    "params:pretrain.views",
                    "params:pretrain.method",
                    "params:pretrain.handmim",
                    "params:pretrain.ibot",
                    "params:pretrain.peclr",
                    "params:pretrain.training",
                    "params:machine",
                ],
                [
                    "pretrained_method",
                    "pretrained_backbone",
                    "pretrain_metrics",
                    "pretrain_history",
                ],
                name="pretrain_backbone",
            ),
            Node(
                draw_curves,
                ["pretrain_history", "params:pretrain.method"],
                "pretrain_curves",
                name="draw_pretrain_curves",
            ),
        ]
    )
