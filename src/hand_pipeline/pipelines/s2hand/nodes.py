"""Nodes of the `s2hand` pipeline that train.

S2HAND (Chen et al., CVPR 2021), section 4.1: the 2D branch and the geometry each alone, then all of
it together. With true 2D joints (weak) and true 3D ones (full) geometry alone is trained, as long
as both of its stages together without labels: their figures are what the labels are worth.
"""

import logging
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints, keypoints_of
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_images import read_bad_photos
from hand_pipeline.data.hand_mix import MixConfig, open_training_hands
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint, pack_method, tensors_hash
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import TrainJob, running_checkpoint, train
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.curves import training_curves
from hand_pipeline.viz.figure import to_image

logger = logging.getLogger(__name__)
Finished = tuple[Checkpoint, dict[str, Any], pd.DataFrame]
Start = list[tuple[Checkpoint, tuple[str, ...]]]


class TermsConfig(Config):
    """Groups of terms that a stage learns from; for ablations."""

    regularisation: bool = Field(True, description="E_regu: shape, texture, scale, joint limits")
    branch: bool = Field(True, description="the 2D branch's E_2D and E_con, in the joint stage")
    photometric: bool = Field(True, description="E_photo and E_tex, in the joint stage")

    def of(self, method: S2HandConfig) -> S2HandConfig:
        """The method with weights of 0 for the groups left out."""
        zero: dict[str, float] = {}
        if not self.regularisation:
            zero |= {"w_regu": 0.0}
        if not self.branch:
            zero |= {"w_2d": 0.0, "w_con": 0.0}
        if not self.photometric:
            zero |= {"w_photo": 0.0, "w_mrgb": 0.0, "w_tex": 0.0}
        return method.model_copy(update=zero)


def train_2d(
    hands: Path,
    keypoints: Path,
    encoder: EfficientNetConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: S2HandConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """Stage 1, the 2D branch: joints of the picture from what the detector saw."""
    method = _staged(method, "2d")
    model = _model(method, encoder, augmentation, training, [])
    return _train("s2hand_2d", model, encoder, hands, keypoints, labels, mix, training, machine)


def train_3d(
    hands: Path,
    keypoints: Path,
    encoder: EfficientNetConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: S2HandConfig,
    training: TrainConfig,
    terms: TermsConfig,
    machine: MachineConfig,
) -> Finished:
    """Stage 1, geometry: hands whose projected joints lie where the detector saw them."""
    method = terms.of(_staged(method, "3d"))
    model = _model(method, encoder, augmentation, training, [])
    return _train("s2hand_3d", model, encoder, hands, keypoints, labels, mix, training, machine)


def train_joint(
    branch: Checkpoint,
    geometry: Checkpoint,
    hands: Path,
    keypoints: Path,
    encoder: EfficientNetConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: S2HandConfig,
    training: TrainConfig,
    terms: TermsConfig,
    machine: MachineConfig,
) -> Finished:
    """Stage 2: everything together, with colours, light and the photo."""
    start: Start = [(branch, ("hourglass",)), (geometry, ("encoder", "geometry"))]
    method = terms.of(_staged(method, "joint"))
    model = _model(method, encoder, augmentation, training, start)
    return _train("s2hand", model, encoder, hands, keypoints, labels, mix, training, machine)


def train_weak(
    hands: Path,
    keypoints: Path,
    encoder: EfficientNetConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: S2HandConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """Geometry from true 2D joints."""
    method = _staged(method, "3d", "weak")
    model = _model(method, encoder, augmentation, training, [])
    return _train("s2hand_weak", model, encoder, hands, keypoints, labels, mix, training, machine)


def train_full(
    hands: Path,
    keypoints: Path,
    encoder: EfficientNetConfig,
    labels: LabelsConfig,
    mix: MixConfig,
    augmentation: HandAugmentationConfig,
    method: S2HandConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    """Geometry from true 2D and 3D joints."""
    method = _staged(method, "3d", "full")
    model = _model(method, encoder, augmentation, training, [])
    return _train("s2hand_full", model, encoder, hands, keypoints, labels, mix, training, machine)


def draw_curves(
    branch: pd.DataFrame,
    geometry: pd.DataFrame,
    joint: pd.DataFrame,
    weak: pd.DataFrame,
    full: pd.DataFrame,
) -> Image.Image:
    """Losses of every stage and supervision over the steps."""
    runs = {
        "2D branch": branch,
        "geometry": geometry,
        "together": joint,
        "geometry, true 2D": weak,
        "geometry, true 3D": full,
    }
    return to_image(training_curves(runs, title="S2HAND, stage by stage"))


def _staged(
    method: S2HandConfig,
    stage: Literal["2d", "3d", "joint"],
    supervision: Literal["self", "weak", "full"] | None = None,
) -> S2HandConfig:
    update = {"stage": stage, "supervision": supervision or method.supervision}
    return method.model_copy(update=update)


def _model(
    method: S2HandConfig,
    encoder: EfficientNetConfig,
    augmentation: HandAugmentationConfig,
    training: TrainConfig,
    start: Start,
) -> S2Hand:
    seed_everything(training.seed)
    model = S2Hand(method, encoder, augmentation)
    for checkpoint, parts in start:
        model.load_parts(checkpoint.tensors, parts, f"the checkpoint of {' and '.join(parts)}")
    return model


def _train(
    name: str,
    model: S2Hand,
    encoder: EfficientNetConfig,
    hands: Path,
    keypoints: Path,
    labels: LabelsConfig,
    mix: MixConfig,
    training: TrainConfig,
    machine: MachineConfig,
) -> Finished:
    bad_photos = machine.workspace / name / "bad_photos.jsonl"
    dataset = open_training_hands(hands, mix, labels, model.cfg.mano_model, bad_photos)
    seen = WithKeypoints(dataset, keypoints_of(keypoints, dataset))
    model.crop_scale.fill_(dataset.crop_scale)
    configs = {"cfg": model.cfg, "encoder": encoder, "augmentation": model.augmentation.cfg}
    checkpoint = running_checkpoint(
        machine, name, training, data=seen.fingerprint, start=tensors_hash(model.state_dict()),
        **configs,
    )  # fmt: skip
    if not checkpoint.exists():
        bad_photos.unlink(missing_ok=True)  # of another run
    result = train(
        TrainJob(
            name, model, seen, seen.collate, training, machine, checkpoint, sink=RecordLogger(name)
        )
    )
    bad = read_bad_photos(bad_photos)
    for row in bad:
        logger.warning("left out %(file)s: %(reason)s, %(detail)s", row)
    found = seen.keypoints.of(seen.ids, "none").confidence.amax(1) > 0
    metrics = {
        "hands": len(seen), "hands_detected": int(found.sum()),
        "steps": training.steps, "unreadable_photos": len(bad), **result.final_figures(),
    }  # fmt: skip
    return pack_method("s2hand", result.tensors, **configs), metrics, result.table()
