"""MaskHand: a hand's pose as masked tokens, which a transformer predicts from the photo.

MaskHand, also MMHMR (arXiv 2412.13393), section 3: a ViT encodes the image; a cross-attention head
regresses shape and camera from it; its maps at 1x and 4x and the 2D keypoints of a detector are the
context from which a masked transformer infers the tokens of VQ-MANO, whose frozen decoder gives the
pose. Training masks ceil(cos(pi tau / 2) L) tokens, tau ~ U(0, 1), and sums
L = L_mask + L_MANO + L_3D + L_2D: the first is the negative log likelihood of the masked tokens,
the others compare the hand decoded from the expectation softmax(logits) x codebook. At test time
tokens are sampled in T passes, the most confident first. This module combines `network`,
`token_masking` (training), `sampling` (the passes) and `training.hand_terms` (L_MANO to L_2D).

Deviation: weights of the terms, learning rate and most widths are not published; the fields of
`MaskHandConfig` say where each comes from.
Deviation: the paper's camera is weak perspective with a focal length of 5000 px; ours places the
hand in the crop's true camera (`models.crop_camera`), as everywhere here.
"""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses, Keypoints
from hand_pipeline.data.hand_augmentation import (
    HandAugmentation,
    HandAugmentationConfig,
    move_keypoints,
)
from hand_pipeline.data.occlusion import black_out
from hand_pipeline.geometry.joints import OPENPOSE
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.methods.maskhand.agreement import agreement
from hand_pipeline.methods.maskhand.config import MaskHandConfig
from hand_pipeline.methods.maskhand.context_synthesizer import Context
from hand_pipeline.methods.maskhand.drawn_hands import DrawnHands
from hand_pipeline.methods.maskhand.joint_error_head import confidence_of, joint_error_loss
from hand_pipeline.methods.maskhand.network import EncodedImages, MaskHandNetwork
from hand_pipeline.methods.maskhand.sampling import (
    SamplingConfig,
    expected_codes,
)
from hand_pipeline.methods.maskhand.token_masking import (
    MaskedTokens,
    draw_mask,
    hide_tokens,
    keep_surest,
    tokens_nearby,
)
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.hand_terms import hand_monitors, hand_terms, own_joints_loss
from hand_pipeline.training.method import Reconstructor, parameter_groups

MOST_BLACK = 0.9
"""Share of a box's cells that training blackens at most; the paper's occluded hands have it."""


class MaskHand(Reconstructor, MaskHandNetwork):
    """MaskHand's network, its training losses and its hands in camera space.

    Args:
        cfg: architecture, masking, losses, sampling; `tokenizer` must be given here.
        vit: the encoder and its initialisation.
        augmentation: training augmentation and the input size, which must be the ViT's.

    Raises:
        ValueError: no tokenizer sizes, or another input size than the ViT's.
    """

    name = "maskhand"
    cfg: MaskHandConfig
    sampling: SamplingConfig
    """How `predict` samples: the configuration's unless replaced."""

    def __init__(
        self, cfg: MaskHandConfig, vit: VitConfig, augmentation: HandAugmentationConfig
    ) -> None:
        super().__init__(cfg, vit)
        augmentation.check_size(vit.image_size, "ViT")
        self.configs = {"cfg": cfg, "vit": vit, "augmentation": augmentation}
        self.augmentation = HandAugmentation(augmentation)
        self.sampling = cfg.sampling
        self.backbone.freeze_blocks(cfg.frozen_blocks)
        terms = [name.removeprefix("weight_") for name in type(cfg).model_fields]
        self.loss_weights = {
            name: getattr(cfg, f"weight_{name}") for name in terms if hasattr(cfg, f"weight_{name}")
        }
        for name in ("own_joints_2d", "joint_error"):  # without a weight there is no head
            if not self.loss_weights[name]:
                del self.loss_weights[name]
        self.register_buffer("crop_scale", torch.tensor(2.0))
        self._monitors: dict[str, Tensor] = {}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Every term of L.

        Hands without MANO labels have all tokens masked and decoded from the expectation, so that
        vertices, 3D and 2D joints teach the tokens, too; hands whose condition is dropped learn
        only the distribution of tokens.

        Raises:
            TypeError: a batch without labels.
        """
        if not isinstance(batch, HandBatch):
            raise TypeError(f"MaskHand needs a HandBatch, got {type(batch).__name__}")
        cfg, count, device = self.cfg, len(batch), batch.images.device
        if cfg.blackout:
            chosen = torch.rand(count, device=device) < cfg.blackout
            batch = black_out(batch, chosen * MOST_BLACK * torch.rand(count, device=device))
        labels = self.augmentation(batch)
        shown, found = self._given(count, device)
        encoded = self._encode(labels.images, labels.intrinsics, labels.keypoints, shown, found)
        targets = self.tokenizer.tokenize(labels.mano_pose)
        needed = cfg.self_conditioning or self.error_head is not None
        first = self._first_pass(encoded.context) if needed else None
        masked = self._hide(labels, targets, first)
        logits = self.synthesizer(masked.ids, encoded.context).float()
        asked = masked.asked & labels.has_mano[:, None]
        codes = expected_codes(logits, self.tokenizer.codebook.embeddings)
        known = self.tokenizer.codebook.embeddings[targets]
        # without MANO labels nothing is known: all codes are expected ones, whose gradient the
        # logits get from 2D and 3D labels
        hand = self.place(torch.where(masked.asked[..., None], codes, known), encoded)
        likelihood = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        seen = replace(
            labels,
            has_mano=labels.has_mano & shown,
            has_vertices=labels.has_vertices & shown,
            has_joints_2d=labels.has_joints_2d & shown[:, None],
            has_joints_3d=labels.has_joints_3d & shown[:, None],
        )
        correct = (logits.argmax(-1) == targets).float()
        self._monitors = {
            "token_accuracy": masked_mean(correct, asked).detach(),
            **hand_monitors(hand, labels),
        }
        return {
            "mask": masked_mean(likelihood.unflatten(0, targets.shape), asked),
            **hand_terms(hand, seen, self.image_size, cfg.camera_joint, cfg.root),
            **self._terms_of_heads(first, encoded, labels, shown),
        }

    def monitors(self) -> dict[str, Tensor]:
        """Accuracy of the tokens to predict, and errors of the last training batch."""
        return self._monitors

    def encode(self, batch: HandBatch) -> EncodedImages:
        """Compute what all passes and hypotheses share; batch as for `predict`.

        Keypoints that are None or of confidence 0 count as not detected.
        """
        keypoints = batch.keypoints
        if not batch.images.is_floating_point():
            keypoints = move_keypoints(keypoints, self.augmentation.whole_image(batch.images))
        images, intrinsics = self.augmentation.network_input(batch.images, batch.intrinsics)
        return self._encode(images, intrinsics, keypoints)

    @torch.no_grad()
    def predict(
        self,
        batch: HandBatch,
        generator: torch.Generator | None = None,
        only_hands: bool = False,
    ) -> HandHypotheses:
        """Hypotheses of each image by `sampling`, the most confident first, with confidences.

        Without keypoints a hand is predicted only from the image. The confidence of a joint is
        made from its expected error where there is a head of errors (`joint_error_head`), whatever
        `confidence` says of whole hands.
        """
        encoded = self.encode(batch)
        found, hand = self.draw(encoded, len(batch), self.sampling, generator)
        if only_hands and self.sampling.hypotheses == 1:  # several must be ranked by confidence
            return HandHypotheses.single(
                batch.ids, encoded.intrinsics, hand.joints_2d, hand.joints, hand.vertices,
                hand.mano_pose, hand.betas,
            )  # fmt: skip
        shape = found.ids.shape[:2]
        result = DrawnHands(
            batch.ids,
            encoded.intrinsics,
            joints_2d=hand.joints_2d.unflatten(0, shape),
            joints_3d=hand.joints.unflatten(0, shape),
            vertices=hand.vertices.unflatten(0, shape),
            mano_pose=hand.mano_pose.unflatten(0, shape),
            betas=encoded.shape_camera.betas,
            confidence=found.confidence,
            joint_confidence=self.joint_confidence(found),
            tokens=found.ids,
            token_probability=found.probabilities,
        )
        if self.cfg.confidence == "agreement":
            sure = agreement(result.joints_3d, self.witnesses(encoded, len(batch), generator))
            result = replace(result, confidence=sure.hands, joint_confidence=sure.joints)
        if self.error_head is not None:
            expected = self.expected_errors(found, hand, encoded.context).unflatten(0, shape)
            result = replace(result, joint_confidence=confidence_of(expected))
        return result.ranked()

    def _given(
        self, count: int, device: torch.device
    ) -> tuple[Bool[Tensor, " batch"], Bool[Tensor, "batch _"]]:
        """Hands whose image may be used, and of each the joints whose keypoints may be used."""
        cfg = self.cfg
        shown = torch.rand(count, device=device) >= cfg.condition_dropout
        found = (shown & (torch.rand(count, device=device) >= cfg.keypoint_dropout))[:, None]
        if cfg.joint_dropout:
            share = cfg.joint_dropout * torch.rand(count, 1, device=device)
            found = found & (torch.rand(count, len(OPENPOSE), device=device) >= share)
        return shown, found

    def _hide(self, labels: HandBatch, targets: Tensor, first: Tensor | None) -> MaskedTokens:
        """What the network is shown of the tokens, and which of them it is asked for.

        Args:
            first: logits of `_first_pass`; given if self-conditioning is on.
        """
        cfg, mask_id = self.cfg, self.synthesizer.mask_id
        hidden = draw_mask(len(labels), targets.shape[1], cfg.masking, targets.device)
        hidden = hidden | ~labels.has_mano[:, None]
        visible = targets
        if cfg.visible_noise:
            visible = tokens_nearby(self.tokenizer, labels.mano_pose, cfg.visible_noise)
        masked = hide_tokens(targets, visible, hidden, cfg.corruption, mask_id)
        if not cfg.self_conditioning or first is None:
            return masked
        own = keep_surest(first, hidden.sum(1), self.likeness, mask_id)
        chosen = torch.rand(len(own), 1, device=own.device) < cfg.self_conditioning
        return MaskedTokens(torch.where(chosen, own, masked.ids), torch.ones_like(hidden))

    @torch.no_grad()
    def _first_pass(self, context: Context) -> Float[Tensor, "batch tokens codes"]:
        """Logits where all tokens are masked, as when hands are sampled: without dropout."""
        training = self.synthesizer.training
        self.synthesizer.eval()
        batch = len(context.values[0][0])
        logits: Tensor = self.synthesizer(self.synthesizer.masked(batch), context)
        self.synthesizer.train(training)
        return logits.float()

    def _terms_of_heads(
        self, first: Tensor | None, encoded: EncodedImages, labels: HandBatch, shown: Tensor
    ) -> dict[str, Tensor]:
        """Of 2D joints and expected errors, where there are heads of them.

        The errors are those of hands as `predict` makes them in one pass: in half of the steps the
        likeliest, in the others drawn ones.
        """
        terms = {}
        if encoded.own_joints is not None:
            true = labels.joints_2d * (2 / self.image_size) - 1
            terms["own_joints_2d"] = own_joints_loss(encoded.own_joints, true, labels.has_joints_2d)
        if self.error_head is None or first is None:
            return terms
        once = SamplingConfig(iterations=1, temperature=float(torch.rand(()) < 0.5))
        with torch.no_grad():
            found = self.sample_by(lambda ids, positions: first, len(labels), once)
            hand = self.hands_of(found, encoded)
        labelled = labels.has_joints_3d.all(1) & shown
        expected = self.expected_errors(found, hand, encoded.context)
        terms["joint_error"] = joint_error_loss(expected, hand.joints, labels.joints_3d, labelled)
        return terms

    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of new parts and encoder; the encoder has its own `lr_scale`."""
        optional = (self.pose_to_head, self.keypoint_head, self.error_head)
        new = [self.head, self.synthesizer, *(part for part in optional if part is not None)]
        return parameter_groups([(new, 1.0), ([self.backbone], self.cfg.backbone_lr_scale)])

    def _encode(
        self,
        images: Tensor,
        intrinsics: Tensor,
        keypoints: Keypoints | None,
        shown: Tensor | None = None,
        found: Tensor | None = None,
    ) -> EncodedImages:
        """Encode; `shown` are hands whose image, `found` joints whose keypoint may be used."""
        points, confidence = None, None
        if keypoints is not None:
            points = keypoints.points * (2 / self.image_size) - 1
            confidence = keypoints.confidence
            if found is not None:
                confidence = confidence * found
        return self.encode_input(images, intrinsics, points, confidence, shown)
