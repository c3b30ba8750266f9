"""What a pretraining and a fine-tuned model cost: parameters, time, speed."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.evaluation.speed import seconds_a_batch
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig


class CostsConfig(Config):
    """How speed is measured. Metrics hold only for the machine they were measured on."""

    batch_size: int = Field(32, gt=0, description="pictures at once where throughput counts")
    repeats: int = Field(10, gt=0, description="timed calls, of which the median counts")
    warmup: int = Field(2, ge=0, description="calls before, which are not timed")


def pretraining_cost(
    history: pd.DataFrame, backbone: Checkpoint, training: Any
) -> dict[str, int | float]:
    """What pretraining took, from its own records, and the size of the backbone it made.

    Seconds are the median record's, so that neither the start nor a pause counts; `hours` are those
    of all steps at that pace.

    Args:
        training: a `TrainConfig`. Not named as its type: Kedro cannot build a part of what another
            pipeline of the same run takes whole (`params:pretrain`).
    """
    training = TrainConfig.model_validate(training)
    pace = float(history["images_per_second"].median())
    seconds = training.batch_size / pace
    return {
        "backbone_parameters": sum(tensor.numel() for tensor in backbone.tensors.values()),
        "images_per_second": pace,
        "seconds_a_step": seconds,
        "hours": seconds * training.steps / 3600,
    }


def inference_cost(
    model: Checkpoint, cfg: CostsConfig, machine: MachineConfig
) -> dict[str, int | float]:
    """Size and speed of a fine-tuned model: one image at a time, and many."""
    method = restore_as(PyMAF, model, "the fine-tuned model")
    method.to(machine.device)
    side, how = method.image_size, (machine.device, cfg.repeats, cfg.warmup)
    one = seconds_a_batch(method.predict, side, 1, *how)
    many = seconds_a_batch(method.predict, side, cfg.batch_size, *how)
    return {
        "parameters": sum(weight.numel() for weight in method.parameters()),
        "milliseconds_an_image": 1000 * one,
        "images_per_second": cfg.batch_size / many,
    }


def create_pipeline() -> Pipeline:
    """A pretraining's records and a fine-tuned model in, metrics of cost out."""
    return Pipeline(
        [
            Node(
                pretraining_cost,
                ["pretrain_history", "pretrained_backbone", "params:pretrain.training"],
                "pretraining_cost_metrics",
                name="pretraining_cost",
            ),
            Node(
                inference_cost,
                ["handmim_method", "params:costs", "params:machine"],
                "inference_cost_metrics",
                name="inference_cost",
            ),
        ]
    )
