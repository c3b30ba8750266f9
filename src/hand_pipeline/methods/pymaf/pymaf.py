"""Fine-tuning: a vision transformer and PyMAF's feedback head reconstruct the MANO hand.

HandMIM (arXiv 2307.16061, "Fine-tuning"): the pretrained ViT regresses MANO's pose, shape and the
hand's place with PyMAF's mesh alignment feedback loop (Zhang et al. 2021) in three corrections;
L_FT = L_MANO + L_vert + L_kpt with L2 on parameters, L1 on vertices and 3D joints, and L1 between
K (J + t) and the 2D joints with the true K. Here every term is taken after every correction, as in
PyMAF, with the mean over corrections, so that weights do not depend on their number.

Deviation: no loss weights are published; ours start from PyMAF's and are tuned (`PyMAFConfig`).
Deviation: HandMIM does not say what 3D positions are relative to; we compare 3D joints and vertices
relative to the wrist, and let the 2D term with the true camera place the hand, because one image
shows depth only through the hand's size.
Deviation, on request: heat maps of 2D joints (`PyMAFHead`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses
from hand_pipeline.data.hand_augmentation import HandAugmentation, HandAugmentationConfig
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.head import Corrections, PyMAFHead
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.models.vit_weights import load_into
from hand_pipeline.training.method import Reconstructor, parameter_groups


class PyMAF(Reconstructor):
    """ViT, PyMAF head and the fine-tuning losses of HandMIM.

    Args:
        cfg: head, losses and freezing.
        vit: backbone and its initialisation: `random`, `imagenet` or a local checkpoint.
        augmentation: training augmentation and the input size, which must be the ViT's.

    Raises:
        ValueError: the augmentation makes images of another size than the ViT takes.
    """

    name = "pymaf"

    def __init__(
        self, cfg: PyMAFConfig, vit: VitConfig, augmentation: HandAugmentationConfig
    ) -> None:
        super().__init__()
        augmentation.check_size(vit.image_size, "ViT")
        self.cfg, self.image_size = cfg, vit.image_size
        self.configs = {"cfg": cfg, "vit": vit, "augmentation": augmentation}
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.augmentation = HandAugmentation(augmentation)
        self.backbone = build_vit(vit)
        self.backbone.freeze_blocks(cfg.frozen_blocks)
        self.head = PyMAFHead(cfg, self.backbone.embed_dim, vit.image_size, self.mano)
        self.loss_weights = {
            "mano_pose": cfg.weight_mano_pose,
            "mano_betas": cfg.weight_mano_betas,
            "mano_camera": cfg.weight_mano_camera,
            "vertices": cfg.weight_vertices,
            "local_vertices": cfg.weight_local_vertices,
            "joints_3d": cfg.weight_joints_3d,
            "joints_2d": cfg.weight_joints_2d,
            "positive_scale": cfg.weight_positive_scale,
        }
        if cfg.weight_own_joints_2d:
            self.loss_weights["own_joints_2d"] = cfg.weight_own_joints_2d
        self.register_buffer("crop_scale", torch.tensor(2.0))
        self._monitors: dict[str, Tensor] = {}

    def load_backbone(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Load pretrained ViT weights by timm's parameter names (a `backbone_state`).

        Args:
            weights: tensors by name.
            origin: name of their source for error messages.

        Raises:
            CheckpointMismatchError: they belong to another architecture.
        """
        load_into(self.backbone.trunk, weights, origin)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Every term, averaged over the corrections.

        Raises:
            TypeError: a batch without labels.
        """
        # only training needs them, and `predict` shall open few files
        from hand_pipeline.training.hand_terms import hand_monitors, hand_terms, own_joints_loss

        if not isinstance(batch, HandBatch):
            raise TypeError(f"fine-tuning needs a HandBatch, got {type(batch).__name__}")
        labels = self.augmentation(batch)
        estimates, own = self.estimate(labels.images, labels.intrinsics)
        size, joint, root = self.head.image_size, self.cfg.camera_joint, self.cfg.root
        per_iteration = [hand_terms(hand, labels, size, joint, root) for hand in estimates]
        self._monitors = hand_monitors(estimates[-1], labels)
        losses = {
            name: torch.stack([terms[name] for terms in per_iteration]).mean()
            for name in self.loss_weights
            if name in per_iteration[0]
        }
        if own is not None:
            joints = labels.joints_2d * (2 / size) - 1
            losses["own_joints_2d"] = own_joints_loss(own, joints, labels.has_joints_2d)
        return losses

    def monitors(self) -> dict[str, Tensor]:
        """Errors of the last training batch (meaningful if all its hands are labelled)."""
        return self._monitors

    def estimate(
        self,
        images: Float[Tensor, "batch 3 size size"],
        intrinsics: Float[Tensor, "batch 3 3"],
    ) -> Corrections:
        """The hand after each correction, from normalised images of the input size."""
        return self.head(self.backbone(images).patches, intrinsics, self.mano)

    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """One hand per image, without a confidence; nothing is sampled."""
        images, intrinsics = self.augmentation.network_input(batch.images, batch.intrinsics)
        hand = self.estimate(images, intrinsics).hands[-1]
        return HandHypotheses.single(
            batch.ids, intrinsics, hand.joints_2d, hand.joints, hand.vertices, hand.mano_pose,
            hand.betas,
        )  # fmt: skip

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of head and backbone; the backbone has its own `lr_scale`."""
        scale = self.cfg.backbone_lr_scale
        return parameter_groups([([self.head], 1.0), ([self.backbone], scale)])


def backbone_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The ViT of a fine-tuned model, under timm's names."""
    prefix = "backbone.trunk."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
