"""Nodes of the `evaluate` pipeline."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.hand_images import HandImages
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
from hand_pipeline.methods.pymaf import PyMAF
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import pck_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.hands import qualitative_grid

ROWS = {
    "mean_hand": "mean hand",
    "supervised": "supervised, from scratch",
    "handmim": "HandMIM, then fine-tuned",
}
"""Models in the order of the table, and what the table calls them."""


class EvaluateConfig(Config):
    """How models are scored."""

    batch_size: int = Field(64, gt=0)
    allow_reflection: bool = Field(True, description="as the official programs align")
    shown: int = Field(8, gt=0, description="hands in the qualitative grid")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def predict_held_out(
    hands: Path,
    supervised: Checkpoint,
    handmim: Checkpoint,
    cfg: EvaluateConfig,
    machine: MachineConfig,
) -> Path:
    """Every held-out hand as the mean hand and as each model sees it: one npz a model."""
    folder = machine.workspace / "evaluate" / "predicted_hands"
    shutil.rmtree(folder, ignore_errors=True)
    for name, checkpoint in (("supervised", supervised), ("handmim", handmim)):
        method = _pymaf(checkpoint, name)
        held_out = open_labelled_hands(hands, "evaluation", method.mano)
        _predict(name, method.predict, held_out, folder, cfg, machine, method)
    mean = mean_hand_of(open_labelled_hands(hands, "training", method.mano))
    _predict("mean_hand", mean.predict, held_out, folder, cfg, machine, method)
    return folder


def _pymaf(checkpoint: Checkpoint, name: str) -> PyMAF:
    method = restore_method(checkpoint, f"the checkpoint of {name}")
    if not isinstance(method, PyMAF):
        raise TypeError(f"{name} is no model that reconstructs hands: {type(method).__name__}")
    return method


def _predict(
    name: str,
    predict: Predict,
    held_out: HandImages,
    folder: Path,
    cfg: EvaluateConfig,
    machine: MachineConfig,
    method: PyMAF,
) -> None:
    on_gpu = machine.accelerator != "cpu" and torch.cuda.is_available()
    device = "cuda" if on_gpu else "cpu"
    method.to(device)
    batches = batches_in_order(held_out, held_out.collate, cfg.batch_size, machine.num_workers)
    total = -(-len(held_out) // cfg.batch_size)
    save_predictions(
        folder / f"{name}.npz", predict_hands(predict, batches, device, total, f"predict {name}")
    )


def score(
    predicted: Path, cfg: EvaluateConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Figures of each model, the results table, every sample's errors, and the AUC curves."""
    scores = {name: _score(predicted / f"{name}.npz", cfg) for name in ROWS}
    metrics = {name: found.summary for name, found in scores.items()}
    table = pd.DataFrame([{"model": ROWS[name], **summary} for name, summary in metrics.items()])
    samples = pd.concat([s.per_sample.assign(model=name) for name, s in scores.items()])
    curves = {ROWS[name]: found.curves for name, found in scores.items()}
    return metrics, table, samples, to_image(pck_curves(curves))


def _score(path: Path, cfg: EvaluateConfig) -> HandEvaluation:
    hands = load_predictions(path)
    return evaluate_hands(
        hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
        allow_reflection=cfg.allow_reflection,
    )  # fmt: skip


def draw_hands(
    hands: Path, predicted: Path, model: Checkpoint, samples: pd.DataFrame, cfg: EvaluateConfig
) -> Image.Image:
    """Some held-out hands, drawn at random: photo, mesh, side view, truth."""
    method = _pymaf(model, "handmim")
    held_out = open_labelled_hands(hands, "evaluation", method.mano)
    found = load_predictions(predicted / "handmim.npz")
    rng = np.random.default_rng(cfg.seed)
    rows = sorted(rng.choice(len(found), min(cfg.shown, len(found)), replace=False).tolist())
    batch = held_out.collate([held_out[row] for row in rows])
    errors = samples[samples["model"] == "handmim"]["pa_mpvpe_mm"].to_numpy()
    return qualitative_grid(
        batch.images,
        batch.intrinsics,
        torch.from_numpy(found.vertices[rows]),
        batch.vertices,
        method.mano.faces,
        [f"{found.ids[row]}: PA-MPVPE {errors[row]:.1f} mm" for row in rows],
    )
