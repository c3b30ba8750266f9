"""Models and baselines on the same held-out hands."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.predict import PredictedHands, draw_samples, load_predictions
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.sweeps.declaration import SweepConfig
from hand_pipeline.sweeps.pipeline import sweep_pipeline
from hand_pipeline.sweeps.project import PROJECT, Project
from hand_pipeline.sweeps.records import record_of
from hand_pipeline.viz.hands import comparison_grid

ERROR = "PA-MPVPE mm"
"""The column that says which of a run's models stands for a member."""


def draw_members(
    project: Project, sweep: SweepConfig, runs: pd.DataFrame, hands: Path, method: PyMAFConfig
) -> Image.Image:
    """Some held-out hands, drawn at random, as every member's first finished run sees them.

    Args:
        runs: the sweep's runs: member, seed, status.
        hands: the labelled set that all were scored on.
        method: for the hand model and its fingertips.
    """
    mano = ManoHand(method.mano_model, tips=method.tips)
    held_out = open_labelled_hands(hands, "evaluation", mano)
    batch = draw_samples(held_out, sweep.picture.shown, seed=0)[1]
    columns = {m.name: sweep.columns | m.columns for m in sweep.members}
    meshes, errors = {}, {}
    finished = runs[runs["status"] == "finished"].drop_duplicates("member")
    for member, seed in zip(finished["member"], finished["seed"]):
        model = columns[member][ERROR].partition(":")[2].partition(".")[0]
        units = record_of(project.sweeps / "comparisons", member, int(seed)).units
        found = load_predictions(
            Path(units["predict_held_out"]) / "predicted_hands" / f"{model}.npz"
        )
        meshes[member] = torch.from_numpy(_rows_of(found, batch.ids))
        samples = pd.read_csv(Path(units["score"]) / "samples_table.csv")
        errors[member] = samples[samples["model"] == model].set_index("id")["pa_mpvpe_mm"]
    captions = [
        f"{name}: PA-MPVPE " + ", ".join(f"{m} {e[name]:.1f}" for m, e in errors.items()) + " mm"
        for name in batch.ids
    ]
    photos = {"photo": batch.images}
    return comparison_grid(photos, batch.intrinsics, meshes, batch.vertices, mano.faces, captions)


def _rows_of(found: PredictedHands, ids: tuple[str, ...]) -> np.ndarray:
    place = {name: row for row, name in enumerate(found.ids)}
    return found.vertices[[place[name] for name in ids]]


def create_pipeline() -> Pipeline:
    """Models and baselines on the same held-out hands; some of these as each sees them."""
    draw = Node(
        draw_members,
        [
            PROJECT,
            "params:sweeps.comparisons",
            "comparisons_runs_table",
            "labelled_hands",
            "params:finetune.method",
        ],
        "comparisons_hands_picture",
        name="draw_members",
    )
    return sweep_pipeline("comparisons") + Pipeline([draw])
