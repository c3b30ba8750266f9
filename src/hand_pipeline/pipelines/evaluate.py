"""Score the mean hand and every fine-tuned model on held-out hands."""

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.model_scores import predict_models, score_models
from hand_pipeline.evaluation.predict import ScoringConfig, draw_samples, load_predictions
from hand_pipeline.methods import restore_as, restore_each, title_of
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import pck_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.hands import qualitative_grid


class EvaluateConfig(ScoringConfig):
    """How models are scored, and what is shown of them."""

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
    return predict_models(
        restore_each(PyMAF, supervised=supervised, handmim=handmim),
        lambda model: open_labelled_hands(hands, "evaluation", model.mano),
        machine.workspace / "evaluate" / "predicted_hands",
        cfg,
        machine,
        training=hands,
    )


def score(
    predicted: Path, supervised: Checkpoint, handmim: Checkpoint, cfg: EvaluateConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Metrics of each model, the results table, every sample's errors, and the AUC curves.

    Tables name what a model was really pretrained by, not what it is by default.
    """
    titles = {"supervised": title_of(supervised), "handmim": title_of(handmim)}
    found = score_models({"mean_hand": "mean hand", **titles}, cfg, predicted)
    return found.metrics, found.table, found.samples, to_image(pck_curves(found.curves))


def draw_hands(
    hands: Path, predicted: Path, model: Checkpoint, samples: pd.DataFrame, cfg: EvaluateConfig
) -> tuple[Image.Image, Image.Image]:
    """Held-out hands drawn at random, and the worst: photo, mesh, side view, truth."""
    mano = restore_as(PyMAF, model, "the checkpoint of handmim").mano
    found = load_predictions(predicted / "handmim.npz")
    held_out = open_labelled_hands(hands, "evaluation", mano)
    errors = samples[samples["model"] == "handmim"]["pa_mpvpe_mm"].to_numpy()

    def drawn(rows: list[int], batch: HandBatch) -> Image.Image:
        captions = [f"{found.ids[row]}: PA-MPVPE {errors[row]:.1f} mm" for row in rows]
        return qualitative_grid(
            batch.images, batch.intrinsics, found.meshes(rows), batch.vertices, mano.faces, captions
        )

    worst: list[int] = errors.argsort()[::-1][: cfg.shown].tolist()
    return (
        drawn(*draw_samples(held_out, cfg.shown, cfg.seed)),
        drawn(worst, held_out.collate([held_out[row] for row in worst])),
    )


def create_pipeline() -> Pipeline:
    """Held-out hands and models in, metrics and figures out."""
    models, settings = ["supervised_method", "handmim_method"], "params:evaluate"
    return Pipeline(
        [
            Node(
                predict_held_out,
                ["labelled_hands", *models, settings, "params:machine"],
                "predicted_hands",
                name="predict_held_out",
            ),
            Node(
                score,
                ["predicted_hands", *models, settings],
                ["evaluate_metrics", "results_table", "samples_table", "auc_curves"],
                name="score",
            ),
            Node(
                draw_hands,
                ["labelled_hands", "predicted_hands", "handmim_method", "samples_table", settings],
                ["hands_picture", "worst_hands_picture"],
                name="draw_hands",
            ),
        ]
    )
