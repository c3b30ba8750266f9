"""What the frozen features of a backbone tell about the joints of a hand."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_mix import open_hand_set
from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_joints
from hand_pipeline.evaluation.predict import ScoringConfig, predict_joints, set_batches
from hand_pipeline.evaluation.validation import validator_of
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.models.image_encoder import ResNetConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, Watch, open_hands, train
from hand_pipeline.viz.curves import draw_curves, pck_curves
from hand_pipeline.viz.figure import to_image


class ProbeConfig(LabelledTrainingConfig):
    """Whose features are probed, with what, and on which hands."""

    start: Literal["pretrained", "init"] = Field(
        "pretrained",
        description="the backbone that `pretrain` made (a ResNet if it was one), or what the "
        "backbone's own configuration says: random, ImageNet, a file",
    )
    method: KeypointProbeConfig
    training: TrainConfig


def train_probe(
    pretrained: Checkpoint,
    folder: Path,
    cfg: ProbeConfig,
    backbone: VitConfig,
    machine: MachineConfig,
) -> Trained:
    """Train two MLPs on frozen features."""
    hands = open_hands("probe", folder, cfg, cfg.method.mano_model, machine)

    def build() -> KeypointProbe:
        if cfg.start == "init":
            return KeypointProbe(cfg.method, backbone, cfg.augmentation)
        method = cfg.method
        if "resnet" in pretrained.metadata:
            resnet = ResNetConfig(**{**pretrained.metadata["resnet"], "init": "random"})
            method = method.model_copy(update={"resnet": resnet})
        probe = KeypointProbe(method, backbone, cfg.augmentation)
        probe.load_backbone(pretrained.tensors, "the pretrained backbone")
        return probe

    counts = {"hands": len(hands), "steps": cfg.training.steps}
    watch = Watch(RecordLogger("probe"), validator_of(hands, cfg.validation, machine))
    return train("probe", build, hands, cfg.training, machine, counts, watch)


def score_probe(
    hands: Path,
    model: Checkpoint,
    cfg: ScoringConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Errors of held-out hands, with their size known and not; every hand's errors; AUC curves.

    `known_size` is FreiHAND's protocol, which gives a bone's length for each held-out hand;
    `mean_size` takes the mean training hand's. They differ only in `mpjpe_mm` and `rr_mpjpe_mm`.
    """
    probe = restore_as(KeypointProbe, model, "the probe's checkpoint")
    device = machine.device
    probe.to(device)
    held_out = open_hand_set("freihand", hands, "evaluation", probe.cfg.mano_model)
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
    figure = to_image(pck_curves(curves, "joints", "joints, unaligned"))
    metrics: dict[str, Any] = {name: dict(found.summary) for name, found in scores.items()}
    for found in metrics.values():  # of other input sizes are compared at the papers' 224 px
        found["joints_2d_224_px"] = found["joints_2d_px"] * 224 / probe.image_size
    return metrics, samples, figure


def create_pipeline() -> Pipeline:
    """Labelled hands and a frozen backbone in, the errors of what can be read off it out."""
    return Pipeline(
        [
            Node(
                train_probe,
                [
                    "pretrained_backbone",
                    "labelled_hands",
                    "params:probe",
                    "params:backbone",
                    "params:machine",
                ],
                ["probe_method", "probe_metrics", "probe_history"],
                name="train_probe",
            ),
            Node(
                draw_curves,
                {"Keypoint probe of frozen features": "probe_history"},
                "probe_curves",
                name="draw_probe_curves",
            ),
            Node(
                score_probe,
                [
                    "labelled_hands",
                    "probe_method",
                    "params:probe_evaluation",
                    "params:machine",
                ],
                ["probe_scores_metrics", "probe_samples_table", "probe_auc_curves"],
                name="score_probe",
            ),
        ]
    )
