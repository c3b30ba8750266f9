"""Score the models on a set other than the one they were trained on."""

from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.readers.hand_sets import hand_of, read_hands
from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.data.synthetic.hands import generate
from hand_pipeline.evaluation.model_scores import predict_models, score_models
from hand_pipeline.evaluation.predict import ScoringConfig
from hand_pipeline.methods import restore_each, title_of
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.viz.curves import pck_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.sheet import photo_sheet


class OtherSetConfig(Config):
    """A published set in place of the drawn one, as docs/datasets.md lays it out."""

    hand_set: str = Field(description="key of `hand_sets.HAND_SETS`")
    path: Path = Field(description="folder of the set")
    split: str = Field(description="a split with 3D joints and vertices or MANO, in its own words")
    partial: bool = Field(
        False, description="go on where the folder lacks photos or other parts of the set"
    )


class CrossEvaluationConfig(ScoringConfig):
    """On what and how models are scored away from home."""

    other: OtherSetConfig | None = Field(
        None, description="null: the drawn hands, which are not looked at otherwise"
    )


def draw_other_hands(config: SyntheticConfig, machine: MachineConfig) -> tuple[Path, Image.Image]:
    """Draw hands that stand otherwise than the training set's; a folder and a sample of them."""
    key = run_key(config=config.model_dump(mode="json"), code=code_hash(__name__))
    folder = machine.workspace / "other_hands" / key
    generate(config, folder, workers=machine.workers)
    return folder, photo_sheet(folder / "evaluation/rgb")


def predict_other_hands(
    hands: Path,
    drawn: Path,
    supervised: Checkpoint,
    handmim: Checkpoint,
    cfg: CrossEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """Every hand of the other set as each model sees it, one npz a model.

    Args:
        hands: the training set, whose mean hand is the baseline.
        drawn: FreiHAND's layout; its evaluation split counts.
    """
    other = cfg.other or OtherSetConfig(hand_set="freihand", path=drawn, split="evaluation")
    return predict_models(
        restore_each(PyMAF, supervised=supervised, handmim=handmim),
        lambda model: open_other_hands(other, model),
        machine.workspace / "cross_evaluate" / "predicted_hands",
        cfg,
        machine,
        training=hands,
    )


def open_other_hands(other: OtherSetConfig, model: PyMAF) -> HandImages:
    """The other set, its crops as wide as those the model was trained on.

    The set's own fingertips are the truth; a model keeps the tips it has learnt.

    Raises:
        DataSetError: an unknown set or split, or a folder that is not the set's.
    """
    mano = hand_of(other.hand_set, model.cfg.mano_model)
    manifest = read_hands(other.hand_set, other.path, other.split, mano, other.partial)
    if manifest.image_side is not None:  # whole pictures
        return HandImages(manifest, mano)
    return HandImages(manifest, mano, HandCropConfig(crop_scale=float(model.crop_scale)))


def score_other_hands(
    predicted: Path, supervised: Checkpoint, handmim: Checkpoint, cfg: CrossEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Metrics of each model, their table, every hand's errors, and the AUC curves."""
    titles = {"supervised": title_of(supervised), "handmim": title_of(handmim)}
    found = score_models({"mean_hand": "mean hand of the training set", **titles}, cfg, predicted)
    return found.metrics, found.table, found.samples, to_image(pck_curves(found.curves))


def create_pipeline() -> Pipeline:
    """Models of one set in, their metrics on another out."""
    hands, models = ["labelled_hands", "other_hands"], ["supervised_method", "handmim_method"]
    tables = ["cross_evaluate_table", "cross_samples_table"]
    return Pipeline(
        [
            Node(
                draw_other_hands,
                ["params:other_hands", "params:machine"],
                ["other_hands", "other_hands_picture"],
                name="draw_other_hands",
            ),
            Node(
                predict_other_hands,
                [*hands, *models, "params:cross_evaluate", "params:machine"],
                "other_predicted_hands",
                name="predict_other_hands",
            ),
            Node(
                score_other_hands,
                ["other_predicted_hands", *models, "params:cross_evaluate"],
                ["cross_evaluate_metrics", *tables, "cross_auc_curves"],
                name="score_other_hands",
            ),
        ]
    )
