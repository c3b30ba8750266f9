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
from hand_pipeline.data.colour import imagenet_denormalize
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
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.s2hand import S2Hand
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


class S2HandEvaluationConfig(Config):
    """How S2HAND is scored."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    allow_reflection: bool = Field(True, description="as the official programs align")
    shown: int = Field(6, gt=0, description="hands in the picture")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def predict_held_out(
    hands: Path,
    geometry: Checkpoint,
    joint: Checkpoint,
    weak: Checkpoint,
    full: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """Every held-out hand as the mean hand and as each model sees it: one npz a model."""
    folder = machine.workspace / "s2hand" / "predicted_hands"
    shutil.rmtree(folder, ignore_errors=True)
    device = _device(machine)
    trained = {"s2hand_3d": geometry, "s2hand": joint, "s2hand_weak": weak, "s2hand_full": full}
    models = {name: _s2hand(checkpoint, name, device) for name, checkpoint in trained.items()}
    mano = models["s2hand"].mano
    mean = mean_hand_of(open_labelled_hands(hands, "training", mano))
    predictors: dict[str, Predict] = {"mean_hand": mean.predict}
    predictors |= {name: model.predict for name, model in models.items()}
    held_out = open_labelled_hands(hands, "evaluation", mano)
    total = -(-len(held_out) // cfg.batch_size)
    for name, predict in predictors.items():
        batches = batches_in_order(held_out, held_out.collate, cfg.batch_size, machine.num_workers)
        found = predict_hands(predict, batches, device, total, f"predict {name}")
        save_predictions(folder / f"{name}.npz", found)
    return folder


def score(
    predicted: Path, cfg: S2HandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Figures of each model, the results table, every sample's errors, and the AUC curves."""
    scores = {name: _score(predicted / f"{name}.npz", cfg) for name in ROWS}
    metrics = {name: found.summary for name, found in scores.items()}
    table = pd.DataFrame([{"model": ROWS[name], **summary} for name, summary in metrics.items()])
    samples = pd.concat([s.per_sample.assign(model=name) for name, s in scores.items()])
    curves = {ROWS[name]: found.curves for name, found in scores.items()}
    return metrics, table, samples, to_image(pck_curves(curves))


def draw_textured(
    hands: Path, joint: Checkpoint, cfg: S2HandEvaluationConfig, machine: MachineConfig
) -> Image.Image:
    """Some held-out hands, drawn at random: the photo, the render, the render over the photo."""
    device = _device(machine)
    model = _s2hand(joint, "s2hand", device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    rng = np.random.default_rng(cfg.seed)
    count = min(cfg.shown, len(held_out))
    rows = sorted(rng.choice(len(held_out), count, replace=False).tolist())
    batch = held_out.collate([held_out[row] for row in rows]).to(device)
    with torch.inference_mode():
        found = model.textured(batch.images, batch.intrinsics)
        photo, _ = model.augmentation.resize(batch.images, batch.intrinsics)
        plain = imagenet_denormalize(photo).clamp(0, 1)
        over = found.picture + (1 - found.alpha[:, None]) * plain
    # a row a hand: photo, render on white, render over the photo
    alone = found.picture + (1 - found.alpha[:, None])
    strips = torch.cat([plain, alone, over], dim=3)
    sheet = torch.cat(list(strips), dim=1).permute(1, 2, 0)
    picture = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    larger = max(1, 192 // model.image_size)
    return Image.fromarray(picture.repeat(larger, 0).repeat(larger, 1))


def _score(path: Path, cfg: S2HandEvaluationConfig) -> HandEvaluation:
    hands = load_predictions(path)
    return evaluate_hands(
        hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
        allow_reflection=cfg.allow_reflection,
    )  # fmt: skip


def _s2hand(checkpoint: Checkpoint, name: str, device: str) -> S2Hand:
    method = restore_method(checkpoint, f"the checkpoint of {name}")
    if not isinstance(method, S2Hand):
        raise TypeError(f"{name} is no S2HAND: {type(method).__name__}")
    return method.to(device)


def _device(machine: MachineConfig) -> str:
    return "cuda" if machine.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
