"""Nodes of the `s2hand` pipeline that score its models on held-out hands."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_hands
from hand_pipeline.evaluation.predict import (
    Predict,
    load_predictions,
    predict_hands,
    save_predictions,
)
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.picture import textured_sheet
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


class S2HandEvaluationConfig(Config):
    """How S2HAND is scored."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    allow_reflection: bool = Field(True, description="as the official programs align")
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
    models = _models({"s2hand_3d": geometry, "s2hand": joint}, machine)
    mano = models["s2hand"].mano
    mean = mean_hand_of(open_labelled_hands(hands, "training", mano))
    predictors: dict[str, Predict] = {"mean_hand": mean.predict}
    predictors |= {name: model.predict for name, model in models.items()}
    return _predicted("predicted_hands", predictors, mano, hands, cfg, machine)


def predict_supervised(
    hands: Path,
    weak: Checkpoint,
    full: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """The same hands as the models that learnt from labels see them."""
    models = _models({"s2hand_weak": weak, "s2hand_full": full}, machine)
    predictors: dict[str, Predict] = {name: model.predict for name, model in models.items()}
    mano = models["s2hand_full"].mano
    return _predicted("supervised_predicted_hands", predictors, mano, hands, cfg, machine)


def score_self_supervised(predicted: Path, cfg: S2HandEvaluationConfig) -> dict[str, Any]:
    """Figures of the models without labels alone: what a sweep over them needs."""
    names = [name for name in ROWS if (predicted / f"{name}.npz").is_file()]
    return {name: _score(predicted / f"{name}.npz", cfg).summary for name in names}


def score(
    predicted: Path, supervised: Path, cfg: S2HandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Figures of each model, the results table, every sample's errors, and the AUC curves."""
    places = {name: supervised if name in _SUPERVISED else predicted for name in ROWS}
    scores = {name: _score(folder / f"{name}.npz", cfg) for name, folder in places.items()}
    metrics = {name: found.summary for name, found in scores.items()}
    table = pd.DataFrame([{"model": ROWS[name], **summary} for name, summary in metrics.items()])
    samples = pd.concat([s.per_sample.assign(model=name) for name, s in scores.items()])
    curves = {ROWS[name]: found.curves for name, found in scores.items()}
    return metrics, table, samples, to_image(pck_curves(curves))


def draw_textured(
    hands: Path, joint: Checkpoint, cfg: S2HandEvaluationConfig, machine: MachineConfig
) -> Image.Image:
    """Some held-out hands, drawn at random, with the colours that the model gives them."""
    device = machine.device
    model = restore_as(S2Hand, joint, "the checkpoint of s2hand").to(device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    rng = np.random.default_rng(cfg.seed)
    count = min(cfg.shown, len(held_out))
    rows = sorted(rng.choice(len(held_out), count, replace=False).tolist())
    batch = held_out.collate([held_out[row] for row in rows]).to(device)
    with torch.inference_mode():
        found = model.textured(batch.images, batch.intrinsics)
    return textured_sheet(
        batch.images, found.vertices, found.colours, found.light, batch.intrinsics, model.mano.faces
    )


def _models(checkpoints: dict[str, Checkpoint], machine: MachineConfig) -> dict[str, S2Hand]:
    return {
        name: restore_as(S2Hand, checkpoint, f"the checkpoint of {name}").to(machine.device)
        for name, checkpoint in checkpoints.items()
    }


def _predicted(
    folder_name: str,
    predictors: dict[str, Predict],
    mano: ManoHand,
    hands: Path,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """A folder with a file of the held-out hands for each model, and nothing of an earlier run."""
    folder = machine.workspace / "s2hand" / folder_name
    shutil.rmtree(folder, ignore_errors=True)
    held_out = open_labelled_hands(hands, "evaluation", mano)
    total = -(-len(held_out) // cfg.batch_size)
    for name, predict in predictors.items():
        batches = batches_in_order(held_out, held_out.collate, cfg.batch_size, machine.num_workers)
        found = predict_hands(predict, batches, machine.device, total, f"predict {name}")
        save_predictions(folder / f"{name}.npz", found)
    return folder


def _score(path: Path, cfg: S2HandEvaluationConfig) -> HandEvaluation:
    hands = load_predictions(path)
    return evaluate_hands(
        hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
        allow_reflection=cfg.allow_reflection,
    )  # fmt: skip
