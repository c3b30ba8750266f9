"""Nodes of the `s2hand` pipeline that train.

S2HAND (Chen et al., CVPR 2021), section 4.1: the 2D branch and the geometry each alone, then all of
it together. With true 2D joints (weak) and true 3D ones (full) geometry alone is trained, as long
as both of its stages together without labels: their metrics are what the labels are worth.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import LabelledTrainingConfig, Trained, open_hands, train


class S2HandTrainingConfig(LabelledTrainingConfig):
    """On which hands S2HAND learns, and its networks: the same in all stages."""

    encoder: EfficientNetConfig
    method: S2HandConfig


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


class StageConfig(Config):
    """How long a stage learns, and from which terms."""

    training: TrainConfig
    terms: TermsConfig = TermsConfig()


Parts = tuple[tuple[Checkpoint, tuple[str, ...]], ...]
"""Trained models, and which of their networks a stage starts from."""


def train_2d(
    hands: Path,
    keypoints: Path,
    cfg: S2HandTrainingConfig,
    stage: StageConfig,
    machine: MachineConfig,
) -> Trained:
    """Stage 1, the 2D branch: joints of the picture from what the detector saw."""
    cfg = _staged(cfg, stage.terms, "2d")
    return _train("s2hand_2d", hands, keypoints, cfg, stage.training, machine)


def train_3d(
    hands: Path,
    keypoints: Path,
    cfg: S2HandTrainingConfig,
    stage: StageConfig,
    machine: MachineConfig,
) -> Trained:
    """Stage 1, geometry: hands whose projected joints lie where the detector saw them."""
    cfg = _staged(cfg, stage.terms, "3d")
    return _train("s2hand_3d", hands, keypoints, cfg, stage.training, machine)


def train_joint(
    hands: Path,
    keypoints: Path,
    branch: Checkpoint,
    geometry: Checkpoint,
    cfg: S2HandTrainingConfig,
    stage: StageConfig,
    machine: MachineConfig,
) -> Trained:
    """Stage 2: everything together, with colours, light and the photo."""
    cfg = _staged(cfg, stage.terms, "joint")
    start: Parts = ((branch, ("hourglass",)), (geometry, ("encoder", "geometry")))
    return _train("s2hand", hands, keypoints, cfg, stage.training, machine, start)


def train_weak(
    hands: Path,
    keypoints: Path,
    cfg: S2HandTrainingConfig,
    stage: StageConfig,
    machine: MachineConfig,
) -> Trained:
    """Geometry from true 2D joints."""
    cfg = _staged(cfg, stage.terms, "3d", "weak")
    return _train("s2hand_weak", hands, keypoints, cfg, stage.training, machine)


def train_full(
    hands: Path,
    keypoints: Path,
    cfg: S2HandTrainingConfig,
    stage: StageConfig,
    machine: MachineConfig,
) -> Trained:
    """Geometry from true 2D and 3D joints."""
    cfg = _staged(cfg, stage.terms, "3d", "full")
    return _train("s2hand_full", hands, keypoints, cfg, stage.training, machine)


def _staged(
    cfg: S2HandTrainingConfig,
    terms: TermsConfig,
    stage: Literal["2d", "3d", "joint"],
    supervision: Literal["self", "weak", "full"] | None = None,
) -> S2HandTrainingConfig:
    """The configuration of one stage."""
    update = {"stage": stage, "supervision": supervision or cfg.method.supervision}
    method = terms.of(cfg.method.model_copy(update=update))
    return cfg.model_copy(update={"method": method})


def _train(
    name: str,
    folder: Path,
    keypoints: Path,
    cfg: S2HandTrainingConfig,
    training: TrainConfig,
    machine: MachineConfig,
    start: Parts = (),
) -> Trained:
    hands = open_hands(name, folder, cfg, cfg.method.mano_model, machine, keypoints)
    assert isinstance(hands, WithKeypoints)  # asked for

    def build() -> S2Hand:
        model = S2Hand(cfg.method, cfg.encoder, cfg.augmentation)
        for checkpoint, parts in start:
            model.load_parts(checkpoint.tensors, parts, f"the checkpoint of {' and '.join(parts)}")
        model.crop_scale.fill_(hands.crop_scale)
        return model

    found = hands.keypoints.of(hands.ids, "none").confidence.amax(1) > 0
    counts = {"hands": len(hands), "hands_detected": int(found.sum()), "steps": training.steps}
    return train(name, build, hands, training, machine, counts, RecordLogger(name))
