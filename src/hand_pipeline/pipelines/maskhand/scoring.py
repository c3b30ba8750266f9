"""Nodes that score MaskHand on held-out hands, beside the mean hand and HandMIM."""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.calibration import (
    ScoredHypotheses,
    confidence_metrics,
    score_hypotheses,
)
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.model_scores import score_model, score_models
from hand_pipeline.evaluation.predict import Predict, load_predictions, predict_set
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.pipelines.maskhand.held_out import (
    MaskHandEvaluationConfig,
    Source,
    given,
    open_held_out,
)
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import calibration_figure
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.sheet import stacked

HAND, JOINTS = "hands", "joints"


class Run(NamedTuple):
    """One way to let MaskHand look at the held-out hands.

    Attributes:
        name: of its files.
        label: in tables.
        sampling: how tokens are drawn.
        readout: what is decoded; None: as the model is configured.
        source: of the 2D keypoints.
    """

    name: str
    label: str
    sampling: SamplingConfig
    readout: Literal["expectation", "codes"] | None = None
    source: Source = "detected"


def table_runs(cfg: MaskHandEvaluationConfig) -> list[Run]:
    """Rows of the results table; of the two read-outs only the model's other one is made."""
    last = cfg.iterations[-1]
    sampled = cfg.sampled
    return [
        *(
            Run(f"maskhand_t{count}", f"MaskHand, T = {count}", SamplingConfig(iterations=count))
            for count in cfg.iterations
        ),
        Run("maskhand_codes", f"MaskHand, T = {last}, likeliest codes", cfg.final, "codes"),
        Run("maskhand_mean", f"MaskHand, T = {last}, mean codes", cfg.final, "expectation"),
        Run(
            "maskhand_sampled",
            f"MaskHand, T = {sampled.iterations}, surest of {sampled.hypotheses} drawn",
            sampled,
        ),
    ]


def keypoint_runs(cfg: MaskHandEvaluationConfig) -> list[Run]:
    """Rows of the study of 2D keypoints."""
    detected = f"maskhand_t{cfg.iterations[-1]}"
    return [
        Run("maskhand_true", "true", cfg.final, source="true"),
        Run(detected, "detected", cfg.final),
        Run("maskhand_none", "none", cfg.final, source="none"),
    ]


BASELINES = {"mean_hand": "mean hand", "handmim": "HandMIM, then fine-tuned"}


def predict_held_out(
    hands: Path,
    keypoints: Path,
    maskhand: Checkpoint,
    handmim: Checkpoint,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """Every held-out hand as each model sees it, and what MaskHand thinks of its hypotheses."""
    folder = machine.workspace / "maskhand" / "predicted_hands"
    shutil.rmtree(folder, ignore_errors=True)
    model = restore_as(MaskHand, maskhand, "the checkpoint of maskhand").to(machine.device)
    held_out = open_held_out(hands, keypoints, model)
    mean = mean_hand_of(open_labelled_hands(hands, "training", model.mano))
    other = restore_as(PyMAF, handmim, "the checkpoint of handmim").to(machine.device)
    for name, baseline in {"mean_hand": mean.predict, "handmim": other.predict}.items():
        predict_set(name, baseline, held_out, folder, cfg, machine)
    configured = model.cfg
    for run in {run.name: run for run in (*table_runs(cfg), *keypoint_runs(cfg))}.values():
        if run.readout == configured.readout:
            continue  # the row of T passes shows it
        readout = run.readout or configured.readout
        model.cfg = configured.model_copy(update={"readout": readout})
        model.sampling = run.sampling
        fewer = {"batch_size": max(1, cfg.batch_size // run.sampling.hypotheses)}
        look = _looking(model, run.source, cfg.seed, machine.device)
        predict_set(run.name, look, held_out, folder, cfg.model_copy(update=fewer), machine)
    return folder


def score(
    predicted: Path, cfg: MaskHandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Metrics of each model, the results table, every hand's errors, the study of keypoints."""
    rows = BASELINES | {run.name: run.label for run in table_runs(cfg)}
    there = {name: label for name, label in rows.items() if (predicted / f"{name}.npz").is_file()}
    found = score_models(there, cfg, predicted)
    metrics, study = found.metrics, []
    for run in keypoint_runs(cfg):
        if run.name not in metrics:
            metrics[run.name] = score_model(run.name, cfg, predicted).summary
        scores = _hypotheses(predicted, run.name, cfg)
        worth = confidence_metrics(scores, cfg.limit_mm, cfg.num_bins).hands.summary()
        worth["confidence"] = float(scores.confidence[:, 0].mean())
        study.append({"keypoints": run.label, **metrics[run.name], **worth})
    return metrics, found.table, found.samples, pd.DataFrame(study)


def calibrate(
    predicted: Path, cfg: MaskHandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """What confidence is worth: metrics, a table of them, the curves' bins, and the picture."""
    greedy = f"maskhand_t{cfg.iterations[-1]}"
    labels = {
        greedy: f"likeliest tokens, T = {cfg.iterations[-1]}",
        "maskhand_sampled": f"surest of {cfg.sampled.hypotheses} drawn",
    }
    scores = {name: _hypotheses(predicted, name, cfg) for name in labels}
    found = {
        name: confidence_metrics(each, cfg.limit_mm, cfg.num_bins) for name, each in scores.items()
    }
    metrics: dict[str, Any] = {name: each.summary() for name, each in found.items()}
    del metrics[greedy]["hypotheses"]  # there is one
    table = pd.DataFrame(
        [
            {"hypotheses": labels[name]}
            | {f"{part} {key}": value for part, row in rows.items() for key, value in row.items()}
            for name, rows in metrics.items()
        ]
    )
    curves = {HAND: found[greedy].hands.curve, JOINTS: found[greedy].joints.curve}
    bins = pd.concat([curve.assign(of=of) for of, curve in curves.items()])
    sure = scores[greedy]
    drawn = (
        (HAND, sure.confidence[:, 0], sure.pa_mpjpe_mm[:, 0], "PA-MPJPE"),
        (JOINTS, sure.joint_confidence[:, 0], sure.joint_errors_mm[:, 0], "aligned error"),
    )
    pictures = [
        calibration_figure(
            curves[of], confidence, errors, cfg.limit_mm, f"Confidence of {of} and their {what}"
        )
        for of, confidence, errors, what in drawn
    ]
    return metrics, table, bins, stacked([to_image(picture) for picture in pictures])


def _looking(model: MaskHand, source: Source, seed: int, device: str) -> Predict:
    """MaskHand's `predict` with keypoints of that source, and draws that repeat."""
    generator = torch.Generator(device).manual_seed(seed)
    return lambda batch: model.predict(given(batch, source), generator)


def _hypotheses(predicted: Path, name: str, cfg: MaskHandEvaluationConfig) -> ScoredHypotheses:
    return score_hypotheses(load_predictions(predicted / f"{name}.npz"), cfg.allow_reflection)
