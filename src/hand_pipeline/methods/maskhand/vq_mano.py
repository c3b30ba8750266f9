"""VQ-MANO: a hand pose as a sequence of discrete tokens.

MaskHand (arXiv 2412.13393), section 3.1: an encoder maps MANO's pose to latents, each takes the
nearest of 2048 codes of width 256, and a decoder maps the codes back;
L_vq = L_recon + weight_commitment |z - sg[c]|, L_recon = L1 on pose, vertices and joints, the hand
posed by MANO with the labelled shape. The second stage masks and predicts these tokens, with this
method frozen.

Deviation: the weights of L_vq, the learning rate and the layers' widths are not published; the
fields of `VqManoConfig` say where each comes from.
Deviation: the term of the codebook, |sg[z] - c|, is left out: codes are moving averages of their
latents (`methods.maskhand.codebook`) and have no gradient.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.data.batch import Batch, PoseBatch
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import random_rotation
from hand_pipeline.losses.keypoint import joint_3d_loss
from hand_pipeline.losses.mano import pose_l1_loss, vertex_loss
from hand_pipeline.methods.maskhand.config import VqManoConfig
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer
from hand_pipeline.training.method import Method


class VqMano(Method):
    """Encoder, codebook and decoder of hand poses.

    Args:
        cfg: sizes, weights and hand model.
    """

    name = "vq_mano"
    mano: ManoHand

    def __init__(self, cfg: VqManoConfig) -> None:
        super().__init__()
        self.cfg, self.configs = cfg, {"cfg": cfg}
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.tokenizer = PoseTokenizer(cfg)
        self.loss_weights = {
            "pose": cfg.weight_pose,
            "vertices": cfg.weight_vertices,
            "joints": cfg.weight_joints,
            "commitment": cfg.weight_commitment,
        }
        self._monitors: dict[str, Tensor] = {}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms of L_vq; in training mode also updates the codebook.

        Raises:
            TypeError: the batch holds no poses.
        """
        if not isinstance(batch, PoseBatch):
            raise TypeError(f"VQ-MANO needs a PoseBatch, got {type(batch).__name__}")
        pose = self._turned(batch.mano_pose)
        quantized = self.tokenizer.quantize(pose)
        decoded = self.tokenizer.decode(quantized.codes)
        hand, truth = self.mano(decoded, batch.betas), self.mano(pose, batch.betas)
        wrist, true_wrist = hand.joints[:, 0], truth.joints[:, 0]
        every = torch.ones_like(truth.joints[..., 0], dtype=torch.bool)
        distance = (hand.vertices - wrist[:, None]) - (truth.vertices - true_wrist[:, None])
        self._monitors = {
            "perplexity": quantized.perplexity,
            "active_codes": quantized.active,
            "rr_mpvpe_mm": distance.detach().norm(dim=-1).mean() * 1000,
        }
        return {
            "pose": pose_l1_loss(decoded, pose, every[:, 0]),
            "vertices": vertex_loss(hand.vertices, truth.vertices, every[:, 0], wrist, true_wrist),
            "joints": joint_3d_loss(hand.joints, truth.joints, every, root=0),
            "commitment": quantized.commitment,
        }

    def monitors(self) -> dict[str, Tensor]:
        """Use of the codes and mean vertex error (mm) in the last batch."""
        return self._monitors

    def _turned(self, pose: Tensor) -> Float[Tensor, "batch 16 3 3"]:
        """Rotate the wrists of the configured share of poses at random."""
        count = len(pose)
        wrist = random_rotation(count, pose.device) @ pose[:, 0]
        chosen = torch.rand(count, device=pose.device) < self.cfg.rotation_augmentation
        wrist = wrist.where(chosen[:, None, None], pose[:, 0])
        return torch.cat([wrist[:, None], pose[:, 1:]], dim=1)
