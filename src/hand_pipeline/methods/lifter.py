"""A MANO hand from a detector's landmarks alone: a small transformer, no image.

Our own baseline, of no paper; Martinez et al. (ICCV 2017) call such a network a lifter. A landmark
is a token: its place in the crop and in the hand, its 3D estimate and confidence. So is each MANO
rotation, and shape and camera; these are read out. It learns from what a detector sees in labelled
images, so it also learns how the detector errs.
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses, Keypoints
from hand_pipeline.data.hand_augmentation import (
    HandAugmentation,
    HandAugmentationConfig,
    move_keypoints,
    transform_labels,
)
from hand_pipeline.geometry.joints import MANO_JOINTS, OPENPOSE
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import matrix_to_rotation_6d, rotation_6d_to_matrix
from hand_pipeline.models.crop_camera import INITIAL_SCALE, HandEstimate, place_hand
from hand_pipeline.training.hand_terms import hand_monitors, hand_terms
from hand_pipeline.training.method import Reconstructor

_INPUTS = 2 + 2 + 3 + 2  # place in the crop, in the hand, 3D, confidence, whether there is 3D
_SMALL = 1e-4


class LifterConfig(Config):
    """The network, what it is shown in training, and the loss weights. All are our choice."""

    width: int = Field(96, gt=0, description="of the tokens")
    layers: int = Field(4, gt=0, description="of the transformer")
    heads: int = Field(6, gt=0, description="of its attention")
    noise_2d: float = Field(
        0.004, ge=0, description="standard deviation added to 2D landmarks, share of the crop"
    )
    noise_3d: float = Field(0.003, ge=0, description="the same of 3D landmarks, metres")
    depth_dropout: float = Field(0.2, ge=0, le=1, description="share of hands without 3D landmarks")
    joint_dropout: float = Field(
        0.1, ge=0, le=1, description="single landmarks hidden: each hand's share is up to this"
    )
    weight_mano_pose: float = Field(4.5, ge=0, description="squared matrix error")
    weight_mano_betas: float = Field(0.02, ge=0, description="squared standard deviations")
    weight_local_vertices: float = Field(60.0, ge=0, description="metres, in the wrist's frame")
    weight_joints_3d: float = Field(60.0, ge=0, description="metres, from the wrist")
    weight_joints_2d: float = Field(6.0, ge=0, description="share of the image side")
    weight_positive_scale: float = Field(1.0, ge=0, description="of a camera scale below 0")
    camera_joint: int = Field(9, ge=0, le=20, description="joint that the camera places")
    tips: str = Field("freihand", description="tip vertices, a key of `TIP_VERTICES`")
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null: the open hand"
    )


class _Shown(NamedTuple):
    """Landmarks as the network sees them."""

    tokens: Float[Tensor, "batch 21 inputs"]
    found: Float[Tensor, "batch 21 1"]


class Lifter(Reconstructor):
    """Landmarks of 21 joints to a MANO hand.

    Args:
        cfg: network and losses.
        augmentation: how labels and landmarks are moved in training; colours do not matter.
    """

    name = "lifter"

    def __init__(self, cfg: LifterConfig, augmentation: HandAugmentationConfig) -> None:
        super().__init__()
        self.cfg, self.image_size = cfg, augmentation.image_size
        self.configs = {"cfg": cfg, "augmentation": augmentation}
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.augmentation = HandAugmentation(augmentation)
        width, rotations = cfg.width, len(MANO_JOINTS)
        self.landmark = nn.Linear(_INPUTS, width)
        self.joint = nn.Parameter(0.02 * torch.randn(len(OPENPOSE), width))
        self.query = nn.Parameter(0.02 * torch.randn(rotations + 2, width))
        layer = nn.TransformerEncoderLayer(
            width, cfg.heads, 3 * width, 0.0, "gelu", batch_first=True, norm_first=True
        )
        self.transformer = nn.TransformerEncoder(layer, cfg.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.rotation, self.shape, self.camera = (nn.Linear(width, n) for n in (6, 10, 3))
        for head in (self.rotation, self.shape, self.camera):
            nn.init.xavier_uniform_(head.weight, 0.01)
            nn.init.zeros_(head.bias)
        mean_pose = self.mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
        self.register_buffer("mean_pose", matrix_to_rotation_6d(mean_pose)[0], persistent=False)
        self.register_buffer("crop_scale", torch.tensor(2.0))
        self.loss_weights = {
            "mano_pose": cfg.weight_mano_pose,
            "mano_betas": cfg.weight_mano_betas,
            "local_vertices": cfg.weight_local_vertices,
            "joints_3d": cfg.weight_joints_3d,
            "joints_2d": cfg.weight_joints_2d,
            "positive_scale": cfg.weight_positive_scale,
        }
        self._monitors: dict[str, Tensor] = {}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Every term; hands in which the detector found nothing count for none.

        Raises:
            TypeError: a batch without labels.
            ValueError: without keypoints.
        """
        if not isinstance(batch, HandBatch):
            raise TypeError(f"the lifter needs a HandBatch, got {type(batch).__name__}")
        look = self.augmentation
        move = look.draw_matrices if self.training else look.whole_image
        labels = transform_labels(_found(batch), move(batch.images))
        hand = self.estimate(self._disturbed(_keypoints_of(labels)), labels.intrinsics)
        terms = hand_terms(hand, labels, self.image_size, self.cfg.camera_joint, 0)
        self._monitors = hand_monitors(hand, labels)
        return {name: terms[name] for name in self.loss_weights}

    def monitors(self) -> dict[str, Tensor]:
        """Errors of the last training batch (meaningful if all its hands are labelled)."""
        return self._monitors

    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """See `Reconstructor.predict`; images are not read.

        Raises:
            ValueError: the batch has no keypoints.
        """
        matrix = self.augmentation.whole_image(batch.images)
        keypoints = move_keypoints(_keypoints_of(batch), matrix)
        assert keypoints is not None  # they were checked a line above
        intrinsics = matrix @ batch.intrinsics
        hand = self.estimate(keypoints, intrinsics)
        return HandHypotheses.single(
            batch.ids, intrinsics, hand.joints_2d, hand.joints, hand.vertices, hand.mano_pose,
            hand.betas,
        )  # fmt: skip

    def estimate(
        self, keypoints: Keypoints, intrinsics: Float[Tensor, "batch 3 3"]
    ) -> HandEstimate:
        """The hand of each set of landmarks, px of the network's input."""
        tokens, found = self._tokens(keypoints)
        # a landmark that is not there is its joint's embedding alone
        landmarks = self.landmark(tokens) * found + self.joint
        queries = self.query.expand(len(tokens), -1, -1)
        read = self.norm(self.transformer(torch.cat([queries, landmarks], dim=1)))
        rotations = len(MANO_JOINTS)
        pose = rotation_6d_to_matrix(self.mean_pose + self.rotation(read[:, :rotations]))
        start = read.new_tensor([INITIAL_SCALE, 0.0, 0.0])
        return place_hand(
            pose, self.shape(read[:, rotations]), start + self.camera(read[:, rotations + 1]),
            intrinsics, self.mano, self.image_size, self.cfg.camera_joint,
        )  # fmt: skip

    def _tokens(self, keypoints: Keypoints) -> _Shown:
        points, confidence, deep = keypoints
        found = (confidence > 0).to(points.dtype)[..., None]
        count = found.sum(1, keepdim=True).clamp(min=1)
        place = torch.where(found > 0, points * (2 / self.image_size) - 1, 0.0)
        centre = place.sum(1, keepdim=True) / count
        size = ((place - centre).norm(dim=-1, keepdim=True) * found).sum(1, keepdim=True) / count
        inside = (place - centre) / size.clamp(min=_SMALL)
        if deep is None:
            deep = points.new_zeros(*points.shape[:2], 3)
        has_depth = (deep != 0).any(2).any(1)[:, None, None].to(points.dtype)
        deep = deep - (deep * found).sum(1, keepdim=True) / count
        extent = (deep.norm(dim=-1, keepdim=True) * found).sum(1, keepdim=True) / count
        unit = deep / extent.clamp(min=_SMALL) * has_depth
        flags = torch.stack([confidence, has_depth[..., 0].expand_as(confidence)], dim=-1)
        return _Shown(torch.cat([place, inside, unit, flags], dim=-1) * found, found)

    def _disturbed(self, keypoints: Keypoints) -> Keypoints:
        """Landmarks as training shows them: noisy, some hidden, some hands without depth."""
        if not self.training:
            return keypoints
        cfg, (points, confidence, deep) = self.cfg, keypoints
        count = len(points)
        points = points + cfg.noise_2d * self.image_size * torch.randn_like(points)
        if deep is not None:
            shown = torch.rand(count, 1, 1, device=points.device) >= cfg.depth_dropout
            deep = (deep + cfg.noise_3d * torch.randn_like(deep)) * shown
        share = cfg.joint_dropout * torch.rand(count, 1, device=points.device)
        kept = torch.rand_like(confidence) >= share
        return Keypoints(points, confidence * kept, deep)


def _found(batch: HandBatch) -> HandBatch:
    """The batch with no labels for hands in which the detector found nothing."""
    found = (_keypoints_of(batch).confidence > 0).any(1)
    return replace(
        batch,
        has_joints_2d=batch.has_joints_2d & found[:, None],
        has_joints_3d=batch.has_joints_3d & found[:, None],
        has_mano=batch.has_mano & found,
        has_vertices=batch.has_vertices & found,
    )


def _keypoints_of(batch: HandBatch) -> Keypoints:
    if batch.keypoints is None:
        raise ValueError(
            "the lifter reads a detector's landmarks, and this batch has none: run the pipeline "
            "`detect` and give its keypoints"
        )
    return batch.keypoints
