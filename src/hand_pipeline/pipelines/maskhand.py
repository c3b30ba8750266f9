"""MaskHand: train the masked transformer on the tokens of VQ-MANO, and score it.

It is scored on held-out hands, beside the mean hand and HandMIM.
"""

import shutil
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.model_scores import score_models
from hand_pipeline.evaluation.predict import predict_set
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.maskhand import sampling_figures, studies
from hand_pipeline.methods.maskhand.config import MaskHandConfig
from hand_pipeline.methods.maskhand.evaluation import (
    MaskHandEvaluationConfig,
    calibrate,
    keypoints_study,
    open_held_out,
    predict_runs,
    table_runs,
)
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.pose_tokenizer import sizes_of
from hand_pipeline.methods.pymaf.pymaf import PyMAF, backbone_of
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, Watch, open_hands, train
from hand_pipeline.viz.curves import draw_curves
from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, From, RunPage

BASELINES = {"mean_hand": "mean hand", "handmim": "HandMIM, then fine-tuned"}


class MaskHandTrainingConfig(LabelledTrainingConfig):
    """On which hands MaskHand learns, what its encoder starts from, and how."""

    start: Literal["finetuned", "init"] = Field(
        "finetuned",
        description="HandMIM's backbone after fine-tuning (the paper's starts from one that knows "
        "hands, too), or what the backbone's configuration says",
    )
    encoder: dict[str, Any] = Field(
        {}, description="what differs from `backbone`; nothing if it starts from the fine-tuned one"
    )
    method: MaskHandConfig
    training: TrainConfig


def train_maskhand(
    folder: Path,
    keypoints: Path,
    tokenizer: Checkpoint,
    finetuned: Checkpoint,
    cfg: MaskHandTrainingConfig,
    backbone: VitConfig,
    machine: MachineConfig,
) -> Trained:
    """Train MaskHand with the frozen tokenizer."""
    vit = VitConfig(**{**backbone.model_dump(), **cfg.encoder})
    sizes = sizes_of(tokenizer.metadata["configs"]["cfg"], cfg.method.tokenizer, "tokenizer_method")
    method = cfg.method.model_copy(update={"tokenizer": sizes})
    hands = open_hands("maskhand", folder, cfg, method.mano_model, machine, keypoints)

    def build() -> MaskHand:
        maskhand = MaskHand(method, vit, cfg.augmentation)
        maskhand.load_tokenizer(tokenizer.tensors, "tokenizer_method")
        if cfg.start == "finetuned":
            weights = backbone_of(finetuned.tensors)
            maskhand.load_backbone(weights, "the backbone of handmim_method")
        maskhand.crop_scale.fill_(hands.crop_scale)
        return maskhand

    counts = {"hands": len(hands), "steps": cfg.training.steps}
    watch = Watch(RecordLogger("maskhand"), validator_of(hands, cfg.validation, machine))
    return train("maskhand", build, hands, cfg.training, machine, counts, watch)


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
    model, held_out = _restore(hands, keypoints, maskhand, machine)
    mean = mean_hand_of(open_labelled_hands(hands, "training", model.mano))
    other = restore_as(PyMAF, handmim, "the checkpoint of handmim").to(machine.device)
    for name, baseline in {"mean_hand": mean.predict, "handmim": other.predict}.items():
        predict_set(name, baseline, held_out, folder, cfg, machine)
    predict_runs(model, held_out, folder, cfg, machine)
    return folder


def score(
    predicted: Path, cfg: MaskHandEvaluationConfig
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Metrics of each model, the results table, every hand's errors, the study of keypoints."""
    rows = BASELINES | {run.name: run.label for run in table_runs(cfg)}
    there = {name: label for name, label in rows.items() if (predicted / f"{name}.npz").is_file()}
    found = score_models(there, cfg, predicted)
    study = keypoints_study(predicted, cfg, found.metrics)
    return found.metrics, found.table, found.samples, study


def check_sampling(
    hands: Path,
    keypoints: Path,
    maskhand: Checkpoint,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> dict[str, Any]:
    """The schedule, and whether shortcuts change anything."""
    model, held_out = _restore(hands, keypoints, maskhand, machine)
    return studies.check_sampling(model, held_out, cfg, machine.device)


def study_occlusion(
    hands: Path,
    keypoints: Path,
    maskhand: Checkpoint,
    handmim: Checkpoint,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[pd.DataFrame, Image.Image]:
    """Errors of both models where most of the hand is black, and some such hands."""
    model, held_out = _restore(hands, keypoints, maskhand, machine)
    other = restore_as(PyMAF, handmim, "the checkpoint of handmim").to(machine.device)
    return studies.study_occlusion(model, other.predict, held_out, cfg, machine)


def draw_hypotheses(
    hands: Path,
    keypoints: Path,
    maskhand: Checkpoint,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> Image.Image:
    """Some held-out hands, each with its surest hypotheses in the order of their confidence."""
    model, held_out = _restore(hands, keypoints, maskhand, machine)
    return studies.draw_hypotheses(model, held_out, cfg, machine.device)


def draw_sampling(
    hands: Path,
    keypoints: Path,
    maskhand: Checkpoint,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[Image.Image, Image.Image]:
    """Confidence after each pass, and where tokens look, of some held-out hands."""
    model, held_out = _restore(hands, keypoints, maskhand, machine)
    return sampling_figures.draw_sampling(model, held_out, cfg, machine.device)


def _restore(
    hands: Path, keypoints: Path, maskhand: Checkpoint, machine: MachineConfig
) -> tuple[MaskHand, WithKeypoints]:
    """The model on the machine's device, and the held-out hands."""
    model = restore_as(MaskHand, maskhand, "the checkpoint of maskhand").to(machine.device)
    return model, open_held_out(hands, keypoints, model)


_READING = (
    "Confidence is how far further hands, drawn in one pass for the same photo, agree with this"
    " one: the mean of exp(-distance / 10 mm), of a hand by its mean joint, of a joint by its own,"
    " aligned by a similarity as where the error is measured. With the setting confidence alike or"
    " code it is the geometric mean of the tokens' probabilities instead; with weight_joint_error"
    " that of a joint is exp(-e / 10 mm), e the error that a head expects of it. The paper prints"
    " percentages without their formula, and does not say how well they predict the error; here"
    " that is measured, and nothing is tuned to it."
)


def _schedule(sampling: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{"": "masked tokens", **sampling["mask_counts"]}])


def _checks(sampling: dict[str, Any]) -> pd.DataFrame:
    checks = {name: value for name, value in sampling.items() if name != "mask_counts"}
    return pd.DataFrame(
        [{"check": name.replace("_", " "), "value": value} for name, value in checks.items()]
    )


PAGE = RunPage(
    title="MaskHand: several hands of one photo",
    results="maskhand_table",
    figures={
        "Held-out hands and their sampled hypotheses by rank, the most confident first": (
            "maskhand_hypotheses_picture"
        ),
        "What confidence is worth: hands above, joints below": "maskhand_calibration_picture",
        "Confidence after each pass (dots: drawn again), as the paper's figure 12": (
            "maskhand_passes_picture"
        ),
        "Where masked tokens look: reference points and samples, as the paper's figure 16": (
            "maskhand_looks_picture"
        ),
        "Mostly black hands, predictions drawn over the whole photo": "occlusion_picture",
        "Training": "maskhand_curves",
    },
    tables={
        "Confidence": "maskhand_confidence_table",
        "2D keypoints: true, detected, none": "keypoints_study_table",
        "Robustness: part of the hand's box is black": "occlusion_table",
        "Sampling schedule": From("maskhand_sampling_metrics", _schedule),
        "Checks of the sampler": From("maskhand_sampling_metrics", _checks),
    },
    settings=("params:maskhand",),
    notes=(OPEN_HAND_NOTICE, _READING),
)
"""The page that shows a MaskHand run."""


def create_pipeline() -> Pipeline:
    """Labelled hands, keypoints, a tokenizer and a fine-tuned ViT in; MaskHand and scores out."""
    seen, evaluation = ["labelled_hands", "hand_keypoints"], "params:maskhand_evaluation"
    trained = [*seen, "maskhand_method"]
    settings = [evaluation, "params:machine"]
    learnt = ["params:maskhand", "params:backbone", "params:machine"]
    scores = ["maskhand_table", "maskhand_samples_table", "keypoints_study_table"]
    confidence = ["maskhand_confidence_metrics", "maskhand_confidence_table"]
    calibration = ["maskhand_calibration_table", "maskhand_calibration_picture"]
    return Pipeline(
        [
            Node(
                train_maskhand,
                [*seen, "tokenizer_method", "handmim_method", *learnt],
                ["maskhand_method", "maskhand_metrics", "maskhand_history"],
                name="train_maskhand",
            ),
            Node(
                draw_curves,
                {"MaskHand: masked tokens of hand poses": "maskhand_history"},
                "maskhand_curves",
                name="draw_maskhand_curves",
            ),
            Node(
                predict_held_out,
                [*trained, "handmim_method", *settings],
                "maskhand_predicted_hands",
                name="predict_maskhand",
            ),
            Node(
                score,
                ["maskhand_predicted_hands", evaluation],
                ["maskhand_scores_metrics", *scores],
                name="score_maskhand",
            ),
            Node(
                calibrate,
                ["maskhand_predicted_hands", evaluation],
                [*confidence, *calibration],
                name="calibrate_maskhand",
            ),
            Node(
                check_sampling,
                [*trained, *settings],
                "maskhand_sampling_metrics",
                name="check_maskhand_sampling",
            ),
            Node(
                study_occlusion,
                [*trained, "handmim_method", *settings],
                ["occlusion_table", "occlusion_picture"],
                name="study_occlusion",
            ),
            Node(
                draw_hypotheses,
                [*trained, *settings],
                "maskhand_hypotheses_picture",
                name="draw_hypotheses",
            ),
            Node(
                draw_sampling,
                [*trained, *settings],
                ["maskhand_passes_picture", "maskhand_looks_picture"],
                name="draw_maskhand_sampling",
            ),
            Node(PAGE.render, PAGE.inputs, "maskhand_page", name="write_maskhand_page"),
        ]
    )
