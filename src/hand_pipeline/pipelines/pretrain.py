"""Pretrain a ViT on unlabelled crops."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field, SerializeAsAny, field_validator

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.shards.crops import UnlabelledConfig, open_crops
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods import config_class, method_class, restore_as
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Pretraining
from hand_pipeline.training.run import train
from hand_pipeline.viz.curves import draw_curves

if TYPE_CHECKING:  # loaded by name: these lines tell DVC and sweeps what the stage stands on
    from hand_pipeline.methods.peclr import peclr  # noqa: F401
    from hand_pipeline.methods.self_distillation import handmim, ibot  # noqa: F401


class PretrainConfig(Config):
    """What is pretrained on what, how, and how long.

    Every method gets the same crops, views, backbone and steps. A baseline needs nothing here: its
    name is that of `methods.METHODS`, and what is not set under it has its default.
    """

    unlabelled: UnlabelledConfig = UnlabelledConfig()
    views: ViewConfig
    method: str = Field("handmim", description="handmim, ibot, peclr, or another `Pretraining`")
    methods: dict[str, SerializeAsAny[Config]] = Field(
        {}, description="each method's own numbers by its name; only the chosen one's count"
    )
    training: TrainConfig

    @field_validator("method")
    @classmethod
    def _pretrains(cls, name: str) -> str:
        if not issubclass(method_class(name), Pretraining):
            raise ValueError(f"{name} learns from labels; choose handmim, ibot or peclr")
        return name

    @field_validator("methods", mode="before")
    @classmethod
    def _typed(cls, methods: dict[str, Any]) -> dict[str, Config]:
        return {name: config_class(name).model_validate(own) for name, own in methods.items()}

    @property
    def chosen(self) -> Config:
        """The numbers of `method`."""
        return self.methods.get(self.method) or config_class(self.method)()


def pretrain(
    hand_crops: Path, cfg: PretrainConfig, backbone: VitConfig, machine: MachineConfig
) -> tuple[Checkpoint, Checkpoint, dict[str, Any], pd.DataFrame]:
    """Train the chosen method; returns it, its backbone, final metrics and history."""
    crops = open_crops(hand_crops, cfg.unlabelled)
    make, own = method_class(cfg.method), cfg.chosen
    trained, metrics, history = train(
        "pretrain", lambda: make(own, backbone, cfg.views), crops, cfg.training, machine,
        {"crops": len(crops), "steps": cfg.training.steps}, RecordLogger("pretrain"),
    )  # fmt: skip
    made_by = {"backbone": backbone.model_dump(mode="json"), "pretrained_by": cfg.method}
    if (resnet := getattr(own, "resnet", None)) is not None:
        made_by["resnet"] = resnet.model_dump(mode="json")
    method = restore_as(Pretraining, trained, "the trained method")
    return trained, Checkpoint(method.backbone_state(), made_by), metrics, history


def create_pipeline() -> Pipeline:
    """Crops in, backbone out."""
    return Pipeline(
        [
            Node(
                pretrain,
                ["hand_crops", "params:pretrain", "params:backbone", "params:machine"],
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
                {"Pretraining": "pretrain_history"},
                "pretrain_curves",
                name="draw_pretrain_curves",
            ),
        ]
    )
