"""S2HAND: train it stage by stage without labels, and with them for comparison; score all.

S2HAND (Chen et al., CVPR 2021), section 4.1: the 2D branch and the geometry separately, then all
together. With true 2D joints (weak) and true 3D ones (full) only geometry is trained, as long
as both of its stages together without labels: their metrics are what the labels are worth.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.model_scores import predict_models, score_models
from hand_pipeline.evaluation.predict import ScoringConfig, draw_samples
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods import restore_as, restore_each
from hand_pipeline.methods.s2hand.config import REFERENCE_SIZE, S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.evaluation import (
    SOURCES,
    Stages,
    compare_sources,
    draw_hands,
    texture_scores,
)
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.methods.s2hand.stages import TRAININGS, TermsConfig, Training
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, Watch, open_hands, train
from hand_pipeline.viz.curves import draw_curves, pck_curves
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.run_page import OPEN_HAND_NOTICE, RunPage

ROWS = {
    "mean_hand": "mean hand",
    "s2hand_3d": "S2HAND, self-supervised geometry alone",
    "s2hand": "S2HAND, self-supervised",
    "s2hand_weak": "S2HAND, weakly supervised (true 2D)",
    "s2hand_full": "S2HAND, fully supervised (true 3D)",
}
"""Models in the order of the table, and what the table calls them."""
_SUPERVISED = ("s2hand_weak", "s2hand_full")


class S2HandTrainingConfig(LabelledTrainingConfig):
    """On which hands S2HAND learns, and its networks: the same in all stages."""

    encoder: EfficientNetConfig
    method: S2HandConfig


class StageConfig(Config):
    """How long a stage learns, and from which terms."""

    training: TrainConfig
    terms: TermsConfig = TermsConfig()


class S2HandEvaluationConfig(ScoringConfig):
    """How S2HAND is scored, and what is shown of it."""

    shown: int = Field(6, gt=0, description="hands in the figure")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")
    keypoints_split: Literal["training", "evaluation"] = Field(
        "training", description="whose 2D joints are compared; S2HAND's table 10: training photos"
    )


def trains(name: str) -> Callable[..., Trained]:
    """The node that trains a model of `TRAININGS`, given those that it starts from."""
    how = TRAININGS[name]

    def train_stage(
        folder: Path,
        keypoints: Path,
        cfg: S2HandTrainingConfig,
        stage: StageConfig,
        machine: MachineConfig,
        *start: Checkpoint,
    ) -> Trained:
        cfg = cfg.model_copy(update={"method": how.of(cfg.method, stage.terms)})
        hands = open_hands(name, folder, cfg, cfg.method.mano_model, machine, keypoints)
        assert isinstance(hands, WithKeypoints)  # asked for

        def build() -> S2Hand:
            model = S2Hand(cfg.method, cfg.encoder, cfg.augmentation)
            model.expect_crops(hands.crop_scale)
            for checkpoint, parts in zip(start, how.start.values(), strict=True):
                origin = f"the checkpoint of {' and '.join(parts)}"
                model.load_parts(checkpoint.tensors, parts, origin)
            return model

        found = hands.keypoints.of(hands.ids, "none").confidence.amax(1) > 0
        detected, training = int(found.sum()), stage.training
        counts = {"hands": len(hands), "hands_detected": detected, "steps": training.steps}
        watch = Watch(RecordLogger(name), validator_of(hands, cfg.validation, machine))
        return train(name, build, hands, training, machine, counts, watch)

    return train_stage


def predict_self_supervised(
    hands: Path,
    geometry: Checkpoint,
    joint: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """Every held-out hand as the mean hand and as the models without labels see it: npz files."""
    return predict_models(
        restore_each(S2Hand, s2hand_3d=geometry, s2hand=joint),
        lambda model: open_labelled_hands(hands, "evaluation", model.mano),
        machine.workspace / "s2hand" / "predicted_hands",
        cfg,
        machine,
        training=hands,
    )


def predict_supervised(
    hands: Path,
    weak: Checkpoint,
    full: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> Path:
    """The same hands as the models that learnt from labels see them."""
    return predict_models(
        restore_each(S2Hand, s2hand_weak=weak, s2hand_full=full),
        lambda model: open_labelled_hands(hands, "evaluation", model.mano),
        machine.workspace / "s2hand" / "supervised_predicted_hands",
        cfg,
        machine,
    )


def score_self_supervised(predicted: Path, cfg: S2HandEvaluationConfig) -> dict[str, Any]:
    """Metrics of only the models without labels: what a sweep over them needs."""
    rows = {name: title for name, title in ROWS.items() if name not in _SUPERVISED}
    return score_models(rows, cfg, predicted).metrics


def score(
    predicted: Path,
    supervised: Path,
    hands: Path,
    joint: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]:
    """Metrics of each model, the results table, every sample's errors, and the AUC curves.

    The model that learnt colours is scored for them, too.
    """
    found = score_models(ROWS, cfg, predicted, supervised)
    model = restore_as(S2Hand, joint, "the checkpoint of s2hand").to(machine.device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    colours = texture_scores(model, held_out, cfg.batch_size, machine)
    found.metrics["s2hand"] |= colours
    found.table.loc[found.table["model"] == ROWS["s2hand"], list(colours)] = list(colours.values())
    return found.metrics, found.table, found.samples, to_image(pck_curves(found.curves))


def draw_textured(
    hands: Path, joint: Checkpoint, cfg: S2HandEvaluationConfig, machine: MachineConfig
) -> Image.Image:
    """Some held-out hands, drawn at random, with the colours that the model gives them."""
    model = restore_as(S2Hand, joint, "the checkpoint of s2hand").to(machine.device)
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    batch = draw_samples(held_out, cfg.shown, cfg.seed)[1].to(machine.device)
    return draw_hands(model, batch)


def score_keypoints_2d(
    hands: Path,
    keypoints: Path,
    branch: Checkpoint,
    geometry: Checkpoint,
    joint: Checkpoint,
    cfg: S2HandEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """2D joints by their source: metrics, the same as a table, and the curves.

    Training photos: whether the networks correct the detections that they learnt from.
    """
    given = restore_each(S2Hand, s2hand_2d=branch, s2hand_3d=geometry, s2hand=joint)
    models = Stages(*(model.to(machine.device) for _, model in given))
    split = cfg.keypoints_split
    shown = open_labelled_hands(hands, split, models.joint.mano)
    seen = WithKeypoints(shown, keypoints_of(keypoints, shown, split))
    scores = compare_sources(models, seen, cfg.batch_size, machine)
    metrics = {name: found.figures for name, found in scores.items()}
    table = pd.DataFrame([{"2D joints": SOURCES[name], **row} for name, row in metrics.items()])
    curves = {SOURCES[name]: found.curve for name, found in scores.items()}
    title = f"2D joints, {split} hands, {REFERENCE_SIZE} px images"
    return metrics, table, to_image(pck_curves(curves, "joints", title, unit="px"))


_READING = (
    "Self-supervised models saw photos and the joints that a detector found in them, never a label."
    " Weakly supervised ones saw true 2D joints, fully supervised ones true 3D joints as well; both"
    " learnt only geometry, no colours. The mean hand ignores the photo."
)
_TEXTURE = (
    "Texture PSNR and SSIM: the hand that the model renders against the photo, over the pixels"
    " where it renders it; only of the model that learns colours. They say nothing of whether the"
    " hand is in the right place."
)
_AUC = (
    "2D joints are those of training photos: do the networks correct what they learnt from? AUC of"
    " 2D joints: area under the share of joints within 0 to 49 px of the true ones, in a 224"
    " px image. A joint that the detector did not find is within no distance."
)

PAGE = RunPage(
    title="S2HAND: textured hands without labels",
    results="s2hand_table",
    figures={
        "Held-out hands: the photo, the hand over it, from the side, and its texture without"
        " light": "s2hand_textured_picture",
        "Share of aligned vertices within a distance": "s2hand_auc_curves",
        "2D joints: detected, estimated, projected": "s2hand_keypoints_curves",
        "Training, stage by stage": "s2hand_curves",
    },
    tables={"2D joints": "s2hand_keypoints_table"},
    settings=(
        "params:s2hand",
        "params:s2hand_2d",
        "params:s2hand_3d",
        "params:s2hand_joint",
        "params:s2hand_labelled",
    ),
    notes=(OPEN_HAND_NOTICE, _READING, _TEXTURE, _AUC),
)
"""The page that shows an S2HAND run."""


def _stage(how: Training) -> str:
    """The parameters of a stage; both that learn from labels share theirs."""
    return f"params:s2hand_{'labelled' if how.supervision else how.stage}"


def create_pipeline() -> Pipeline:
    """Labelled hands and what a detector saw in them in; models, scores, pictures, a page out."""
    training = [
        Node(
            trains(name),
            ["labelled_hands", "hand_keypoints", "params:s2hand", _stage(how),
             "params:machine", *(f"{start}_method" for start in how.start)],
            [f"{name}_method", f"{name}_metrics", f"{name}_history"],
            name=f"train_{name}",
        )
        for name, how in TRAININGS.items()
    ]  # fmt: skip
    evaluation = "params:s2hand_evaluation"
    settings = [evaluation, "params:machine"]
    predicted, supervised = "s2hand_predicted_hands", "s2hand_supervised_predicted_hands"
    return Pipeline(
        [
            *training,
            Node(
                predict_self_supervised,
                ["labelled_hands", "s2hand_3d_method", "s2hand_method", *settings],
                predicted,
                name="predict_s2hand",
            ),
            Node(
                predict_supervised,
                ["labelled_hands", "s2hand_weak_method", "s2hand_full_method", *settings],
                supervised,
                name="predict_s2hand_supervised",
            ),
            Node(
                score_self_supervised,
                [predicted, evaluation],
                "s2hand_self_metrics",
                name="score_s2hand_self",
            ),
            Node(
                score,
                [predicted, supervised, "labelled_hands", "s2hand_method", *settings],
                [
                    "s2hand_scores_metrics",
                    "s2hand_table",
                    "s2hand_samples_table",
                    "s2hand_auc_curves",
                ],
                name="score_s2hand",
            ),
            Node(
                score_keypoints_2d,
                [
                    "labelled_hands",
                    "hand_keypoints",
                    "s2hand_2d_method",
                    "s2hand_3d_method",
                    "s2hand_method",
                    *settings,
                ],
                ["s2hand_keypoints_metrics", "s2hand_keypoints_table", "s2hand_keypoints_curves"],
                name="score_s2hand_keypoints",
            ),
            Node(
                draw_curves,
                {how.title: f"{name}_history" for name, how in TRAININGS.items()},
                "s2hand_curves",
                name="draw_s2hand_curves",
            ),
            Node(
                draw_textured,
                ["labelled_hands", "s2hand_method", *settings],
                "s2hand_textured_picture",
                name="draw_textured_hands",
            ),
            Node(PAGE.render, PAGE.inputs, "s2hand_page", name="write_s2hand_page"),
        ]
    )
