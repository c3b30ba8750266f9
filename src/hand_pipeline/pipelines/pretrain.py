"""Pretrain a ViT on unlabelled crops."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field, SerializeAsAny, field_validator

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.shards.crops import UnlabelledConfig, open_crops
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.evaluation.predict import draw_samples
from hand_pipeline.methods import config_class, method_class, restore_as
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.backbone import (
    check_taught,
    draw_with_seed,
    export_backbone,
    origin_of,
)
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Pretraining
from hand_pipeline.training.run import Watch, train
from hand_pipeline.viz.curves import draw_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.tables import no_probes

if TYPE_CHECKING:  # loaded by name: these lines tell DVC and sweeps what the stage stands on
    from hand_pipeline.methods.peclr import peclr  # noqa: F401
    from hand_pipeline.methods.self_distillation import handmim, ibot  # noqa: F401


PICTURES = ("rebuilt", "key_points")
"""Of `Pretraining.draw`."""


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
    shown: int = Field(8, gt=0, description="crops in the pictures")

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
    """Train the chosen method; returns it, its backbone, final metrics and history.

    Raises:
        UntaughtError: the schedule would leave too much of the random start in the backbone.
    """
    crops = open_crops(hand_crops, cfg.unlabelled)
    make, training = method_class(cfg.method), cfg.training
    planned = make(cfg.chosen, backbone, cfg.views)
    assert isinstance(planned, Pretraining)  # `PretrainConfig` has checked it
    check_taught(planned, training.steps)
    counts = {"crops": len(crops), "steps": training.steps, **origin_of(planned, training)}
    trained, metrics, history = train(
        "pretrain", lambda: make(cfg.chosen, backbone, cfg.views), crops, training, machine,
        counts, Watch(RecordLogger("pretrain")),
    )  # fmt: skip
    method = restore_as(Pretraining, trained, "the trained method")
    return trained, export_backbone(method, training, backbone), metrics, history


def draw_pretraining(
    hand_crops: Path, trained: Checkpoint, cfg: PretrainConfig
) -> tuple[Image.Image, Image.Image]:
    """What the method rebuilds, and its key points, of some crops; or that it has neither."""
    method = restore_as(Pretraining, trained, "the trained method")
    _, batch = draw_samples(open_crops(hand_crops, cfg.unlabelled), cfg.shown, cfg.training.seed)
    pictures = draw_with_seed(method, batch, cfg.training.seed)
    none = {name: f"{method.name} has no {name.replace('_', ' ')}" for name in PICTURES}
    rebuilt, points = (pictures.get(n) or to_image(no_probes(none[n])) for n in PICTURES)
    return rebuilt, points


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
                draw_pretraining,
                ["hand_crops", "pretrained_method", "params:pretrain"],
                [f"{name}_picture" for name in PICTURES],
                name="draw_pretraining",
            ),
            Node(
                draw_curves,
                {"Pretraining": "pretrain_history"},
                "pretrain_curves",
                name="draw_pretrain_curves",
            ),
        ]
    )
