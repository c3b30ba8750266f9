"""The node that compares three sources of 2D joints (S2HAND, table 10 and figure 4)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.keypoints_2d import score_joints_2d
from hand_pipeline.evaluation.predict import set_batches
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.config import REFERENCE_SIZE
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.pipelines.s2hand.scoring import S2HandEvaluationConfig
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import pck_curves
from hand_pipeline.viz.figure import to_image

SOURCES = {
    "detected": "detected (what training sees)",
    "estimated": "estimated by the 2D branch",
    "projected": "projected from the 3D hand",
}
"""Where 2D joints come from, in the order of the table, and what it calls them."""


def score_keypoints_2d(
    hands: Path,
    keypoints: Path,
    joint: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """2D joints of the held-out hands: metrics by source, the same as a table, and the curves."""
    device = machine.device
    model = restore_as(S2Hand, joint, "the checkpoint of s2hand").to(device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    seen = WithKeypoints(held_out, keypoints_of(keypoints, held_out, "evaluation"))
    rows: dict[str, list[torch.Tensor]] = {}
    batches = set_batches(seen, cfg.batch_size, machine, "2D joints")
    with torch.inference_mode():
        for batch in (each.to(device) for each in batches):
            assert batch.keypoints is not None  # `WithKeypoints` attaches them to every batch
            stored = REFERENCE_SIZE / batch.images.shape[-1]
            used = REFERENCE_SIZE / model.image_size
            projected = model.predict(batch, only_hands=True).joints_2d[:, 0]
            values = {
                "truth": batch.joints_2d * stored,
                "labelled": batch.has_joints_2d,
                "detected": batch.keypoints.points * stored,
                "given": batch.keypoints.confidence > 0,
                "estimated": model.estimated_2d(batch) * used,
                "projected": projected * used,
            }
            for name, value in values.items():
                rows.setdefault(name, []).append(value.cpu())
    whole: dict[str, np.ndarray] = {name: torch.cat(part).numpy() for name, part in rows.items()}
    scores = {
        name: score_joints_2d(
            whole[name], whole["truth"], whole["labelled"],
            whole["given"] if name == "detected" else None,
        )
        for name in SOURCES
    }  # fmt: skip
    metrics = {name: found.figures for name, found in scores.items()}
    table = pd.DataFrame([{"2D joints": SOURCES[name], **row} for name, row in metrics.items()])
    curves = {SOURCES[name]: found.curve for name, found in scores.items()}
    title = f"2D joints of held-out hands, {REFERENCE_SIZE} px images"
    return metrics, table, to_image(pck_curves(curves, "joints", title, unit="px"))
