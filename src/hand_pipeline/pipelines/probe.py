"""What the frozen features of a backbone tell about the joints of a hand."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import MixConfig, open_training_hands
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_joints
from hand_pipeline.evaluation.predict import ScoringConfig, predict_joints, set_batches
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.models.image_encoder import ResNetConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.hands_run import bad_photos_of, train_on_hands
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import pck_curves, training_curves
from hand_pipeline.viz.figure import to_image


class ProbeLabelsConfig(LabelsConfig):
    """Which labels the probe may learn from, and the hand model they belong to."""

    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )


def train_probe(
    pretrained: Checkpoint,
    hands: Path,
    start: Literal["pretrained", "init"],
    backbone: VitConfig,
    labels: ProbeLabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: KeypointProbeConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> tuple[Checkpoint, dict[str, Any], pd.DataFrame]:
    """Train two MLPs on frozen features; return them, their final figures and history.

    Args:
        start: whose features: `pretrained`, the backbone that `pretrain` made (a ResNet if it was
            one), or `init`, what the backbone's own configuration says (random, ImageNet, a file).
    """
    if start == "pretrained" and "resnet" in pretrained.metadata:
        resnet = ResNetConfig(**{**pretrained.metadata["resnet"], "init": "random"})
        method = method.model_copy(update={"resnet": resnet})
    seed_everything(training.seed)
    probe = KeypointProbe(method, backbone, augmentation)
    if start == "pretrained":
        probe.load_backbone(pretrained.tensors, "the pretrained backbone")
    bad_photos = bad_photos_of(machine, "probe")
    dataset = open_training_hands(hands, mix, labels, labels.mano_model, bad_photos)
    configs = {"cfg": method, "vit": backbone, "augmentation": augmentation}
    result, metrics = train_on_hands(
        "probe", probe, dataset, training, machine, configs, RecordLogger("probe")
    )
    return pack_method("keypoint_probe", result.tensors, **configs), metrics, result.table()


def draw_curves(history: pd.DataFrame) -> Image.Image:
    """Losses and 2D error over the steps."""
    return to_image(training_curves(history, title="Keypoint probe of frozen features"))


def score_probe(
    hands: Path,
    model: Checkpoint,
    labels: ProbeLabelsConfig,
    cfg: ScoringConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Errors of held-out hands, with their size known and not; every hand's errors; AUC curves.

    `known_size` is FreiHAND's protocol, which tells a bone's length for each held-out hand;
    `mean_size` takes the mean training hand's. They differ in `mpjpe_mm` and `rr_mpjpe_mm` alone.
    """
    probe = restore_as(KeypointProbe, model, "the probe's checkpoint")
    device = machine.device
    probe.to(device)
    mano = ManoHand(labels.mano_model, tips="freihand")
    held_out = HandImages(read_hands("freihand", hands, "evaluation", mano), mano)
    scores: dict[str, HandEvaluation] = {}
    for name, known_size in (("known_size", True), ("mean_size", False)):
        batches = set_batches(held_out, cfg.batch_size, machine, f"probe, {name}")
        found = predict_joints(partial(probe.predict, known_size=known_size), batches, device)
        scores[name] = evaluate_joints(
            found.joints, found.gt_joints, found.joints_2d, found.gt_joints_2d, found.ids,
            cfg.allow_reflection,
        )  # fmt: skip
    samples = pd.concat([s.per_sample.assign(hands=name) for name, s in scores.items()])
    curves = {name.replace("_", " "): found.curves for name, found in scores.items()}
    picture = to_image(pck_curves(curves, "joints", "joints, unaligned"))
    return {name: found.summary for name, found in scores.items()}, samples, picture


def create_pipeline() -> Pipeline:
    """Labelled hands and a frozen backbone in, the errors of what can be read off it out."""
    return Pipeline(
        [
            Node(
                train_probe,
                [
                    "pretrained_backbone",
                    "labelled_hands",
                    "params:probe.start",
                    "params:backbone",
                    "params:probe.labels",
                    "params:probe.mix",
                    "params:probe.augmentation",
                    "params:probe.method",
                    "params:probe.training",
                    "params:machine",
                ],
                ["probe_method", "probe_metrics", "probe_history"],
                name="train_probe",
            ),
            Node(draw_curves, "probe_history", "probe_curves", name="draw_probe_curves"),
            Node(
                score_probe,
                [
                    "labelled_hands",
                    "probe_method",
                    "params:probe.labels",
                    "params:probe.evaluation",
                    "params:machine",
                ],
                ["probe_scores_metrics", "probe_samples_table", "probe_auc_curves"],
                name="score_probe",
            ),
        ]
    )
