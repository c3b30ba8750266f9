"""How MaskHand is scored on held-out hands: its settings, the ways to let it look, confidence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import pandas as pd
import torch
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, Keypoints, true_keypoints
from hand_pipeline.data.detected_keypoints import WithKeypoints, read_keypoints
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.calibration import (
    ScoredHypotheses,
    confidence_metrics,
    score_hypotheses,
)
from hand_pipeline.evaluation.model_scores import score_model
from hand_pipeline.evaluation.predict import Predict, ScoringConfig, load_predictions, predict_set
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.viz.curves import calibration_figure
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.sheet import stacked

HAND, JOINTS = "hands", "joints"
Source = Literal["detected", "true", "none"]
"""Whose 2D keypoints a model is given."""


class MaskHandEvaluationConfig(ScoringConfig):
    """How MaskHand is scored; hands at once are photos times hypotheses."""

    iterations: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 3, 5), min_length=1, description="passes T of the table; the last is used elsewhere"
    )
    sampled: SamplingConfig = Field(
        SamplingConfig(temperature=1.0, hypotheses=20, branches=None),
        description="of the hypotheses whose ranking is scored; temperature and K are our choice",
    )
    occlusion: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.8, 0.9),
        min_length=1,
        description="shares of the hand's box that are black, besides none; MaskHand: 0.8, 0.9",
    )
    occluded_hands: int | None = Field(
        None, gt=0, description="of which that is studied, the set's first; null: all"
    )
    limit_mm: float = Field(10.0, gt=0, description="largest error of a good hand or joint")
    num_bins: int = Field(10, gt=0, description="of the calibration curves")
    shown: int = Field(4, gt=0, description="hands in pictures")
    shown_hypotheses: int = Field(6, gt=0, description="of each hand in its picture")
    seed: int = Field(0, ge=0, description="of the draws and of the choice of the hands shown")

    @property
    def final(self) -> SamplingConfig:
        """The likeliest tokens after the last of `iterations`."""
        return SamplingConfig(iterations=self.iterations[-1])


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


_READOUTS: tuple[tuple[str, str, Literal["expectation", "codes"]], ...] = (
    ("codes", "likeliest codes", "codes"),
    ("mean", "mean codes", "expectation"),
)


def table_runs(cfg: MaskHandEvaluationConfig) -> list[Run]:
    """Rows of the results table; of the two read-outs only the model's other one is made.

    The paper's table 5 reads out ids (likeliest codes) after 1, 3 and 5 passes. Mean codes after
    one pass are the estimate of least squared error, which further passes can only approach.
    """
    sampled = cfg.sampled
    passes = {count: SamplingConfig(iterations=count) for count in cfg.iterations}
    return [
        *(Run(f"maskhand_t{n}", f"MaskHand, T = {n}", how) for n, how in passes.items()),
        *(
            Run(f"maskhand_{name}_t{n}", f"MaskHand, T = {n}, {label}", how, readout)
            for name, label, readout in _READOUTS
            for n, how in passes.items()
        ),
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


def open_held_out(hands: Path, keypoints: Path, model: MaskHand) -> WithKeypoints:
    """The held-out hands with what the detector saw in them."""
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    return WithKeypoints(held_out, read_keypoints(keypoints, "evaluation"))


def predict_runs(
    model: MaskHand,
    held_out: WithKeypoints,
    folder: Path,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> None:
    """Every hand as MaskHand sees it in each run of the table and of the study of keypoints.

    Args:
        model: in eval mode on the machine's device; its settings are those of the last run then.
        held_out: the hands.
        folder: where the npz files go.
        cfg: which runs.
        machine: device and loader processes.
    """
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


def keypoints_study(
    predicted: Path, cfg: MaskHandEvaluationConfig, metrics: dict[str, dict[str, float]]
) -> pd.DataFrame:
    """True, detected and no 2D keypoints: errors, and what confidence is worth.

    Args:
        predicted: folder of `predict_runs`.
        cfg: how hands are aligned and judged.
        metrics: of the runs that are scored already; those of the others are added.
    """
    study = []
    for run in keypoint_runs(cfg):
        if run.name not in metrics:
            metrics[run.name] = score_model(run.name, cfg, predicted).summary
        scores = _hypotheses(predicted, run.name, cfg)
        worth = confidence_metrics(scores, cfg.limit_mm, cfg.num_bins).hands.summary()
        worth["confidence"] = float(scores.confidence[:, 0].mean())
        study.append({"keypoints": run.label, **metrics[run.name], **worth})
    return pd.DataFrame(study)


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


def _given(batch: HandBatch, source: Source) -> HandBatch:
    """The same hands with the keypoints of that source."""
    known: dict[Source, Callable[[], Keypoints | None]] = {
        "detected": lambda: batch.keypoints,
        "true": lambda: true_keypoints(batch),
        "none": lambda: None,
    }
    return replace(batch, keypoints=known[source]())


def _looking(model: MaskHand, source: Source, seed: int, device: str) -> Predict:
    """MaskHand's `predict` with keypoints of that source, and draws that repeat."""
    generator = torch.Generator(device).manual_seed(seed)
    return lambda batch: model.predict(_given(batch, source), generator)


def _hypotheses(predicted: Path, name: str, cfg: MaskHandEvaluationConfig) -> ScoredHypotheses:
    return score_hypotheses(load_predictions(predicted / f"{name}.npz"), cfg.allow_reflection)
