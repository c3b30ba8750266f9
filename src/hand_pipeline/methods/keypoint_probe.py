"""The probe of HandMIM's journal version: how well frozen features predict a hand's joints.

Front. Phys. 12:1515842, "linear probing": the backbone is frozen, two 3-layer MLPs predict 21 2D
joints and 21 relative depths from its features, and the camera lifts them to 3D (2.5D of Iqbal
et al. 2018, `geometry.scaled_depth`). L = |2D - label| + |z - label|, means of absolute values.

Deviation: the paper gives neither tokens, widths, losses nor optimizer; we read the class token,
with hidden layers twice its width, and L1.
Deviation: PeCLR, which it follows for 2.5D, corrects the root's depth with a third small MLP; the
text of the probe names two, so we do not.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, HandBatch, JointPrediction
from hand_pipeline.data.hand_augmentation import HandAugmentation, HandAugmentationConfig
from hand_pipeline.geometry.scaled_depth import bone_lengths, lift, scaled_depths
from hand_pipeline.losses.keypoint import joint_2d_loss
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.models.image_encoder import ResNetConfig, build_encoder, load_encoder
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.ema import freeze
from hand_pipeline.training.method import Method


class KeypointProbeConfig(Config):
    """Which features are used, how depths are scaled, and the loss weights."""

    weight_joints_2d: float = Field(1.0, ge=0, description="share of the image side; our choice")
    weight_depth: float = Field(1.0, ge=0, description="lengths of the bone; our choice")
    features: Literal["class", "patches", "both"] = Field(
        "class", description="class token (our choice), mean of the patch tokens, or both"
    )
    standardize: bool = Field(
        False, description="batch norm before the MLPs, as in MAE's linear probe; paper: not named"
    )
    hidden_scale: int = Field(2, gt=0, description="hidden width / feature width; our choice")
    bone: tuple[int, int] = Field(
        (0, 5),
        description="joints whose distance is the unit of depth: wrist and index base (PeCLR's "
        "loader); FreiHAND's own scale is (9, 10), a bone less than half as long",
    )
    root: int = Field(0, ge=0, le=20, description="joint that depths are relative to; our choice")
    depth_limits: tuple[float, float] = Field(
        (1.0, 50.0),
        description="of the root's depth, lengths of the bone; PeCLR's 4 to 50 would exclude hands "
        "nearer than 40 cm, so ours start at 10 cm",
    )
    resnet: ResNetConfig | None = Field(
        None, description="a ResNet instead of the ViT, as PeCLR may train; null: the ViT"
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file of the labels; null: the open hand"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "KeypointProbeConfig":
        if self.bone[0] == self.bone[1] or not all(0 <= joint <= 20 for joint in self.bone):
            raise ValueError(f"bone must be two different joints of 0 to 20, got {self.bone}")
        if not 0 < self.depth_limits[0] < self.depth_limits[1]:
            raise ValueError(f"depth_limits must be rising and above 0, got {self.depth_limits}")
        return self


class KeypointProbe(Method):
    """A frozen encoder and two MLPs; terms `joints_2d` and `depth`.

    Args:
        cfg: the probe.
        vit: the backbone; with `cfg.resnet` only its image size is used.
        augmentation: training augmentation and the input size, which must be the backbone's.

    Raises:
        ValueError: the augmentation makes images of another size than the backbone takes.
    """

    name = "keypoint_probe"
    bone_length: Float[Tensor, ""]
    """Mean length of the bone in the training hands, metres: for hands of unknown size."""
    hands_seen: Float[Tensor, ""]
    """Number of hands in that mean."""

    def __init__(
        self, cfg: KeypointProbeConfig, vit: VitConfig, augmentation: HandAugmentationConfig
    ) -> None:
        super().__init__()
        augmentation.check_size(vit.image_size, "backbone")
        self.cfg, self.image_size = cfg, vit.image_size
        self.configs = {"cfg": cfg, "vit": vit, "augmentation": augmentation}
        self.augmentation = HandAugmentation(augmentation)
        self.encoder = build_encoder(vit, cfg.resnet)
        freeze(self.encoder)
        width = self.encoder.embed_dim * (2 if cfg.features == "both" else 1)
        self.norm = nn.BatchNorm1d(width, affine=False) if cfg.standardize else nn.Identity()
        self.plane = _mlp(width, cfg.hidden_scale * width, 42)
        self.depth = _mlp(width, cfg.hidden_scale * width, 21)
        self.loss_weights = {"joints_2d": cfg.weight_joints_2d, "depth": cfg.weight_depth}
        self.register_buffer("bone_length", torch.tensor(0.09))  # metres; of a hand of 18 cm
        self.register_buffer("hands_seen", torch.tensor(0.0))
        self._monitors: dict[str, Tensor] = {}

    def load_backbone(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Load the weights to probe by timm's parameter names (a pretraining's `backbone_state`).

        Args:
            weights: tensors by name.
            origin: name of their source for error messages.

        Raises:
            CheckpointMismatchError: they belong to another architecture.
        """
        load_encoder(self.encoder, weights, origin)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Mean absolute differences of 2D joints and of relative depths.

        Raises:
            TypeError: a batch without labels.
        """
        if not isinstance(batch, HandBatch):
            raise TypeError(f"the probe needs a HandBatch, got {type(batch).__name__}")
        labels, cfg = self.augmentation(batch), self.cfg
        points, depths = self.estimate(labels.images)
        labelled = labels.has_joints_3d
        measured = labelled[:, cfg.root] & labelled[:, cfg.bone[0]] & labelled[:, cfg.bone[1]]
        self._measure(labels.joints_3d, measured)
        truth = scaled_depths(labels.joints_3d, cfg.bone, cfg.root)
        known = labelled & measured[:, None]
        terms = {
            "joints_2d": joint_2d_loss(
                points, labels.joints_2d, labels.has_joints_2d, self.image_size
            ),
            "depth": masked_mean((depths - truth).abs(), known),
        }
        distances = (points.detach() - labels.joints_2d).norm(dim=-1)
        self._monitors = {"pixels_2d": masked_mean(distances, labels.has_joints_2d)}
        return terms

    def monitors(self) -> dict[str, Tensor]:
        """`pixels_2d`: mean distance of the last batch's 2D joints, px of the network's input."""
        return dict(self._monitors)

    def train(self, mode: bool = True) -> "KeypointProbe":
        """Set the mode; the encoder always stays in eval mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def estimate(
        self, images: Float[Tensor, "batch 3 size size"]
    ) -> tuple[Float[Tensor, "batch 21 2"], Float[Tensor, "batch 21"]]:
        """2D joints (px) and relative depths (lengths of the bone) of normalised images."""
        with torch.no_grad():
            seen = self.encoder(images)
            mean_patch = seen.patches.mean(1)
        read = {"class": [seen.cls], "patches": [mean_patch], "both": [seen.cls, mean_patch]}
        with torch.autocast(images.device.type, enabled=False):
            features = self.norm(torch.cat(read[self.cfg.features], dim=-1).float())
            points = (self.plane(features).unflatten(-1, (21, 2)) + 0.5) * self.image_size
            return points, self.depth(features)

    def predict(self, batch: HandBatch, known_size: bool = False) -> JointPrediction:
        """Joints in camera space; call in eval mode, without gradients.

        Args:
            batch: uint8 square crops of any size, or normalised images of the input size.
            known_size: take the length of each hand's bone from its labels, which FreiHAND
                publishes for its evaluation hands; else it is the mean of the training hands, so
                larger hands are predicted too near.

        Returns:
            Joints in metres, in the camera frame of `batch`; `joints_2d` and `intrinsics` refer to
            the network's input size.

        Raises:
            ValueError: float images of another size than the network's input.
        """
        cfg = self.cfg
        images, intrinsics = self.augmentation.network_input(batch.images, batch.intrinsics)
        points, depths = self.estimate(images)
        lengths = self.bone_length.expand(len(images))
        if known_size:
            lengths = bone_lengths(batch.joints_3d, cfg.bone)
        joints = lift(points, depths, intrinsics, lengths, cfg.bone, cfg.depth_limits)
        return JointPrediction(batch.ids, intrinsics, joints_2d=points, joints_3d=joints)

    @torch.no_grad()
    def _measure(self, joints: Tensor, measured: Tensor) -> None:
        """Add this batch's bones to the mean, in training."""
        if self.training:
            lengths = bone_lengths(joints, self.cfg.bone)
            self.hands_seen += measured.sum()
            share = measured.sum() / self.hands_seen.clamp(min=1)
            self.bone_length.lerp_(masked_mean(lengths, measured), share)


def _mlp(width: int, hidden: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, out),
    )
