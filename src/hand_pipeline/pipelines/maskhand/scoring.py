"""Nodes that score MaskHand on held-out hands, beside the mean hand and HandMIM."""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.hypotheses import (
    ConfidenceFigures,
    confidence_figures,
    load_hypotheses,
    run_hypotheses,
    save_hypotheses,
)
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_hands
from hand_pipeline.evaluation.predict import load_predictions, predict_hands, save_predictions
from hand_pipeline.models.token_sampling import SamplingConfig
from hand_pipeline.pipelines.maskhand.held_out import (
    MaskHandEvaluationConfig,
    Source,
    given,
    held_out_batches,
    restore_maskhand,
    restore_model,
)
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.calibration import calibration_figure
from hand_pipeline.viz.figure import stacked, to_image

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
    device = machine.device
    model = restore_maskhand(maskhand, device)
    mean = mean_hand_of(open_labelled_hands(hands, "training", model.mano))
    for name, baseline in (("mean_hand", mean), ("handmim", restore_model(handmim, device))):
        batches, total = held_out_batches(hands, keypoints, model, cfg, machine)
        found = predict_hands(baseline.predict, batches, device, total, f"predict {name}")
        save_predictions(folder / f"{name}.npz", found)
    configured = model.cfg
    runs = {run.name: run for run in (*table_runs(cfg), *keypoint_runs(cfg))}
    for run in runs.values():
        if run.readout == configured.readout:
            continue  # the row of T passes shows it
        readout = run.readout or configured.readout
        model.cfg = configured.model_copy(update={"readout": readout})
        batches, total = held_out_batches(
            hands, keypoints, model, cfg, machine, run.sampling.hypotheses
        )
        scores, surest = run_hypotheses(
            model.hypotheses, (given(batch, run.source) for batch in batches), run.sampling,
            device, generator=torch.Generator(device).manual_seed(cfg.seed),
            allow_reflection=cfg.allow_reflection, total=total, description=f"predict {run.name}",
        )  # fmt: skip
        save_predictions(folder / f"{run.name}.npz", surest)
        save_hypotheses(folder / "hypotheses" / f"{run.name}.npz", scores)
    return folder


def score(
    predicted: Path, cfg: MaskHandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Figures of each model, the results table, every hand's errors, the study of keypoints."""
    rows = BASELINES | {run.name: run.label for run in table_runs(cfg)}
    there = {name: label for name, label in rows.items() if (predicted / f"{name}.npz").is_file()}
    found = {name: _score(predicted, name, cfg) for name in there}
    metrics = {name: each.summary for name, each in found.items()}
    table = pd.DataFrame([{"model": there[name], **summary} for name, summary in metrics.items()])
    samples = pd.concat([each.per_sample.assign(model=name) for name, each in found.items()])
    study = []
    for run in keypoint_runs(cfg):
        each = found.get(run.name) or _score(predicted, run.name, cfg)
        metrics[run.name] = each.summary
        scores = load_hypotheses(predicted / "hypotheses" / f"{run.name}.npz")
        figures = confidence_figures(scores, cfg.limit_mm, cfg.num_bins).hands.summary()
        figures["confidence"] = float(scores.confidence[:, 0].mean())
        study.append({"keypoints": run.label, **each.summary, **figures})
    return metrics, table, samples, pd.DataFrame(study)


def calibrate(
    predicted: Path, cfg: MaskHandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """What confidence is worth: figures, a table of them, the curves' bins, and the picture."""
    greedy = f"maskhand_t{cfg.iterations[-1]}"
    labels = {
        greedy: f"likeliest tokens, T = {cfg.iterations[-1]}",
        "maskhand_sampled": f"surest of {cfg.sampled.hypotheses} drawn",
    }
    found = {name: _figures(predicted, name, cfg) for name in labels}
    metrics: dict[str, Any] = {name: figures.summary() for name, figures in found.items()}
    del metrics[greedy]["hypotheses"]  # there is one
    table = pd.DataFrame(
        [
            {"hypotheses": labels[name]}
            | {f"{part} {key}": value for part, row in rows.items() for key, value in row.items()}
            for name, rows in metrics.items()
        ]
    )
    scores = load_hypotheses(predicted / "hypotheses" / f"{greedy}.npz")
    curves = {HAND: found[greedy].hands.curve, JOINTS: found[greedy].joints.curve}
    bins = pd.concat([curve.assign(of=of) for of, curve in curves.items()])
    drawn = (
        (HAND, scores.confidence[:, 0], scores.pa_mpjpe_mm[:, 0], "PA-MPJPE"),
        (JOINTS, scores.joint_confidence[:, 0], scores.joint_errors_mm[:, 0], "aligned error"),
    )
    pictures = [
        calibration_figure(
            curves[of], confidence, errors, cfg.limit_mm, f"Confidence of {of} and their {what}"
        )
        for of, confidence, errors, what in drawn
    ]
    return metrics, table, bins, stacked([to_image(picture) for picture in pictures])


def _score(predicted: Path, name: str, cfg: MaskHandEvaluationConfig) -> HandEvaluation:
    hands = load_predictions(predicted / f"{name}.npz")
    return evaluate_hands(
        hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
        allow_reflection=cfg.allow_reflection,
    )  # fmt: skip


def _figures(predicted: Path, name: str, cfg: MaskHandEvaluationConfig) -> ConfidenceFigures:
    scores = load_hypotheses(predicted / "hypotheses" / f"{name}.npz")
    return confidence_figures(scores, cfg.limit_mm, cfg.num_bins)
