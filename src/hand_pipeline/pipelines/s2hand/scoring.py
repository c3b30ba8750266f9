"""Nodes of the `s2hand` pipeline that score its models on held-out hands."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.model_scores import score_models
from hand_pipeline.evaluation.predict import ScoringConfig, draw_samples, predict_set
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.figures import textured_sheet
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import pck_curves
from hand_pipeline.viz.figure import to_image

ROWS = {
    "mean_hand": "mean hand",
    "s2hand_3d": "S2HAND, self-supervised geometry alone",
    "s2hand": "S2HAND, self-supervised",
    "s2hand_weak": "S2HAND, weakly supervised (true 2D)",
    "s2hand_full": "S2HAND, fully supervised (true 3D)",
}
"""Models in the order of the table, and what the table calls them."""
_SUPERVISED = ("s2hand_weak", "s2hand_full")


class S2HandEvaluationConfig(ScoringConfig):
    """How S2HAND is scored, and what is shown of it."""

    shown: int = Field(6, gt=0, description="hands in the picture")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def predict_self_supervised(
    hands: Path,
    geometry: Checkpoint,
    joint: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """Every held-out hand as the mean hand and as the models without labels see it: npz files."""
    folder = machine.workspace / "s2hand" / "predicted_hands"
    mano = _predict(folder, {"s2hand_3d": geometry, "s2hand": joint}, hands, cfg, machine)
    mean = mean_hand_of(open_labelled_hands(hands, "training", mano))
    held_out = open_labelled_hands(hands, "evaluation", mano)
    predict_set("mean_hand", mean.predict, held_out, folder, cfg, machine)
    return folder


def predict_supervised(
    hands: Path,
    weak: Checkpoint,
    full: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """The same hands as the models that learnt from labels see them."""
    folder = machine.workspace / "s2hand" / "supervised_predicted_hands"
    _predict(folder, {"s2hand_weak": weak, "s2hand_full": full}, hands, cfg, machine)
    return folder


def score_self_supervised(predicted: Path, cfg: S2HandEvaluationConfig) -> dict[str, Any]:
    """Metrics of the models without labels alone: what a sweep over them needs."""
    rows = {name: title for name, title in ROWS.items() if name not in _SUPERVISED}
    return score_models(rows, cfg, predicted).metrics


def score(
    predicted: Path, supervised: Path, cfg: S2HandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Metrics of each model, the results table, every sample's errors, and the AUC curves."""
    found = score_models(ROWS, cfg, predicted, supervised)
    return found.metrics, found.table, found.samples, to_image(pck_curves(found.curves))


def draw_textured(
    hands: Path, joint: Checkpoint, cfg: S2HandEvaluationConfig, machine: MachineConfig
) -> Image.Image:
    """Some held-out hands, drawn at random, with the colours that the model gives them."""
    model = restore_as(S2Hand, joint, "the checkpoint of s2hand").to(machine.device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    batch = draw_samples(held_out, cfg.shown, cfg.seed)[1].to(machine.device)
    with torch.inference_mode():
        found = model.predict(batch)
    return textured_sheet(batch, found, model.mano.faces)


def _predict(
    folder: Path,
    checkpoints: dict[str, Checkpoint],
    hands: Path,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> ManoHand:
    """A file of the held-out hands for each model in an emptied folder; their hand model."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, checkpoint in checkpoints.items():
        model = restore_as(S2Hand, checkpoint, f"the checkpoint of {name}").to(machine.device)
        held_out = open_labelled_hands(hands, "evaluation", model.mano)
        only_hands = partial(model.predict, only_hands=True)
        predict_set(name, only_hands, held_out, folder, cfg, machine)
    return model.mano
