"""MaskHand: a hand as masked tokens of its pose, filled in by looking at the photo.

MaskHand, also MMHMR (arXiv 2412.13393), section 3: a ViT encodes the image; a cross-attention head
regresses shape and camera from it; its maps at 1x and 4x and the 2D keypoints of a detector are the
context from which a masked transformer infers the tokens of VQ-MANO, whose frozen decoder gives the
pose. Training masks ceil(cos(pi tau / 2) L) tokens, tau ~ U(0, 1), and sums
L = L_mask + L_MANO + L_3D + L_2D: the first is the negative log likelihood of the masked tokens,
the others see the hand that the expectation softmax(logits) x codebook decodes to. At test time
tokens are filled in T passes, the surest first (`models.token_sampling`).

Deviation: weights of the terms, learning rate and most widths could not be found in print; the
fields of `MaskHandConfig` say where each comes from.
Deviation: the paper's camera is weak perspective with a focal length of 5000 px; ours places the
hand in the crop's true camera (`models.crop_camera`), as everywhere here.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Shaped
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses, HandPrediction, Keypoints
from hand_pipeline.data.hand_augmentation import (
    HandAugmentation,
    HandAugmentationConfig,
    move_keypoints,
)
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.losses.reduction import masked_mean
from hand_pipeline.models.agreement import agreement
from hand_pipeline.models.context_synthesizer import (
    Context,
    ContextSynthesizer,
    ContextSynthesizerConfig,
)
from hand_pipeline.models.crop_camera import HandEstimate, place_hand
from hand_pipeline.models.pose_tokenizer import (
    PoseTokenizer,
    PoseTokenizerConfig,
    joint_tokens,
    tokenizer_state,
)
from hand_pipeline.models.shape_camera_head import (
    ShapeAndCamera,
    ShapeCameraHead,
    ShapeCameraHeadConfig,
)
from hand_pipeline.models.state import load_strictly
from hand_pipeline.models.token_sampling import (
    SampledTokens,
    SamplingConfig,
    expected_codes,
    random_mask,
    sample_tokens,
)
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.models.vit_weights import load_into
from hand_pipeline.training.hand_terms import hand_monitors, hand_terms
from hand_pipeline.training.method import Method, parameter_groups


class MaskHandConfig(ContextSynthesizerConfig):
    """The transformer (inherited), the head, the frozen tokenizer, masking, losses, sampling."""

    context: Literal["maps"] = Field("maps", description="feature maps; text is maskhand_text's")
    head: ShapeCameraHeadConfig = Field(
        ShapeCameraHeadConfig(), description="regresses shape and camera"
    )
    head_reads_keypoints: bool = Field(
        True,
        description="the head also attends to the 2D pose tokens, which say where the hand is far "
        "better than patches do; our addition, off in the paper",
    )
    tokenizer: PoseTokenizerConfig | None = Field(
        None, description="sizes of the frozen VQ-MANO; null: as its checkpoint says"
    )
    masking: tuple[float, float] = Field(
        (0.0, 1.0), description="range of tau, 0 masks all tokens; MaskHand: U(0, 1) and ablations"
    )
    corruption: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the visible tokens that are random codes, so that later passes bear "
        "the mistakes of earlier ones; MMM 0.5, MoMask 0.1; MaskHand says nothing",
    )
    visible_noise: float = Field(
        0.0,
        ge=0,
        description="the visible tokens are those of a pose whose joints are turned at random by "
        "up to this standard deviation, radians, uniform over hands: mistakes as an earlier pass "
        "makes them, which random codes are not; our addition, 0 in the paper",
    )
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of hands whose image and keypoints are hidden (features zeroed), so "
        "that generation without an image is known; MoMask: 0.1",
    )
    keypoint_dropout: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of hands whose keypoints are hidden, as if none were found; our choice",
    )
    weight_mask: float = Field(
        1.0,
        ge=0,
        description="nats a token; it must lead: with PyMAF's weights of the other terms the mean "
        "code becomes a regressor, its tokens are not learnt, and what is drawn is no hand",
    )
    weight_mano_pose: float = Field(0.5, ge=0, description="squared matrix error; our choice")
    weight_mano_betas: float = Field(0.2, ge=0, description="squared std. deviations; our choice")
    weight_mano_camera: float = Field(10.0, ge=0, description="squared crop units; our choice")
    weight_vertices: float = Field(4.0, ge=0, description="metres; our choice, 0 in the paper")
    weight_local_vertices: float = Field(
        0.0, ge=0, description="metres, in the wrist's own frame; our addition, 0 in the paper"
    )
    weight_joints_3d: float = Field(4.0, ge=0, description="metres; our choice")
    weight_joints_2d: float = Field(0.5, ge=0, description="share of the image side; our choice")
    weight_positive_scale: float = Field(1.0, ge=0, description="PyMAF: 1")
    root: int | None = Field(
        0, ge=0, le=20, description="joint that 3D losses are relative to; null: absolute"
    )
    camera_joint: int = Field(9, ge=0, le=20, description="joint whose place is regressed")
    frozen_blocks: int = Field(0, ge=0, description="first blocks of the ViT that stay as they are")
    backbone_lr_scale: float = Field(
        1.0, gt=0, description="learning rate of the ViT relative to the rest"
    )
    sampling: SamplingConfig = Field(SamplingConfig(), description="how `predict` draws")
    readout: Literal["expectation", "codes"] = Field(
        "expectation",
        description="what is decoded at temperature 0: the mean code under the logits of the pass "
        "that settled a token, which is the estimate of least error, or the likeliest code",
    )
    confidence: Literal["agreement", "alike", "code"] = Field(
        "agreement",
        description="how sure a hand is: how far further draws agree with it, or how probable its "
        "tokens are: each code together with those like it, or alone (MaskGIT); the paper prints "
        "percentages without a formula",
    )
    witnesses: int = Field(
        16, ge=1, description="further draws, of one pass, that `agreement` asks; our choice"
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )
    tips: str = Field("freihand", description="whose fingertip vertices are joints")

    @model_validator(mode="after")
    def _range_of_tau(self) -> "MaskHandConfig":
        low, high = self.masking
        if not 0 <= low <= high <= 1:
            raise ValueError(f"masking must be a range within 0 to 1, got {low} to {high}")
        return self


class EncodedImages(NamedTuple):
    """What is computed once an image, whatever is sampled then.

    Attributes:
        context: for the synthesizer.
        shape_camera: betas and camera.
        intrinsics: of the network's input.
    """

    context: Context
    shape_camera: ShapeAndCamera
    intrinsics: Float[Tensor, "batch 3 3"]


class MaskHand(Method):
    """Encoder, head, context-guided masked transformer and frozen tokenizer.

    Args:
        cfg: architecture, masking, losses, sampling; `tokenizer` must be given here.
        vit: the encoder and what it starts from.
        augmentation: training augmentation and the input size, which must be the ViT's.

    Raises:
        ValueError: no tokenizer sizes, or another input size than the ViT's.
    """

    mano: ManoHand
    crop_scale: Float[Tensor, ""]
    """Side of the training pictures over the longer side of the hands in them."""
    joint_tokens: Float[Tensor, "21 tokens"]

    def __init__(
        self, cfg: MaskHandConfig, vit: VitConfig, augmentation: HandAugmentationConfig
    ) -> None:
        super().__init__()
        if cfg.tokenizer is None:
            raise ValueError(
                "MaskHand needs the sizes of its tokenizer: set cfg.tokenizer, or take them from "
                "the tokenizer's checkpoint (`pose_tokenizer.sizes_of`)"
            )
        if vit.image_size != augmentation.image_size:
            raise ValueError(
                f"expected one input size, got image_size {vit.image_size} of the ViT and "
                f"{augmentation.image_size} of the augmentation; set both to the same"
            )
        self.cfg = cfg
        self.image_size = vit.image_size
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.augmentation = HandAugmentation(augmentation)
        self.tokenizer = PoseTokenizer(cfg.tokenizer).requires_grad_(False)
        self.backbone = build_vit(vit)
        self.backbone.freeze_blocks(cfg.frozen_blocks)
        self.head = ShapeCameraHead(cfg.head, self.backbone.embed_dim)
        self.synthesizer = ContextSynthesizer(
            cfg, self.tokenizer.num_tokens, self.tokenizer.num_codes, self.backbone.embed_dim
        )
        guided = cfg.head_reads_keypoints and cfg.use_pose_2d
        self.pose_to_head = nn.Linear(cfg.width, self.backbone.embed_dim) if guided else None
        terms = [name.removeprefix("weight_") for name in type(cfg).model_fields]
        self.loss_weights = {
            name: getattr(cfg, f"weight_{name}") for name in terms if hasattr(cfg, f"weight_{name}")
        }
        self.register_buffer("crop_scale", torch.tensor(2.0))
        tokens = joint_tokens(self.tokenizer.num_tokens)
        self.register_buffer("joint_tokens", tokens, persistent=False)
        self._monitors: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> "MaskHand":
        """As of every module, but the tokenizer always stays in evaluation mode."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def load_tokenizer(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Take the tokenizer of a trained VQ-MANO.

        Raises:
            CheckpointMismatchError: it has other sizes.
        """
        load_strictly(self.tokenizer, tokenizer_state(tensors), origin)

    def load_backbone(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Start from ViT weights under timm's names.

        Raises:
            CheckpointMismatchError: they belong to another architecture.
        """
        load_into(self.backbone.trunk, weights, origin)

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Every term of L.

        Hands without MANO labels have all tokens masked and learn from 3D and 2D; hands whose
        condition is dropped learn the distribution of tokens alone.

        Raises:
            TypeError: a batch without labels.
        """
        if not isinstance(batch, HandBatch):
            raise TypeError(f"MaskHand needs a HandBatch, got {type(batch).__name__}")
        labels = self.augmentation(batch)
        cfg, count, device = self.cfg, len(batch), labels.images.device
        shown = torch.rand(count, device=device) >= cfg.condition_dropout
        found = shown & (torch.rand(count, device=device) >= cfg.keypoint_dropout)
        encoded = self._encode(labels.images, labels.intrinsics, labels.keypoints, shown, found)
        targets = self.tokenizer.tokenize(labels.mano_pose)
        hidden = self._draw_mask(count, device) | ~labels.has_mano[:, None]
        ids, wrong = self._mask(targets, self._visible(labels.mano_pose, targets), hidden)
        logits = self.synthesizer(ids, encoded.context).float()
        asked = (hidden | wrong) & labels.has_mano[:, None]
        codes = expected_codes(logits, self.tokenizer.codebook.embeddings)
        known = self.tokenizer.codebook.embeddings[targets]
        hand = self._place(torch.where(asked[..., None], codes, known), encoded)
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
        }

    def monitors(self) -> dict[str, Tensor]:
        """Share of asked tokens that are right, and errors of the last training batch."""
        return self._monitors

    def encode(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        keypoints: Keypoints | None = None,
    ) -> EncodedImages:
        """Everything that does not change between passes and hypotheses.

        Args:
            images: uint8 square crops of any size, or normalised images of the input size.
            intrinsics: camera of `images`.
            keypoints: px of `images`; None or confidence 0: as if none were found.

        Raises:
            ValueError: float images of another size than the network's input.
        """
        if not images.is_floating_point():
            keypoints = move_keypoints(keypoints, self.augmentation.whole_image(images))
            images, intrinsics = self.augmentation.resize(images, intrinsics)
        if images.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"expected normalised images of {self.image_size} x {self.image_size} px, got "
                f"{images.shape[-2]} x {images.shape[-1]}; give uint8 images to have them resized"
            )
        return self._encode(images, intrinsics, keypoints)

    def sample(
        self,
        context: Context,
        batch: int,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> SampledTokens:
        """Tokens for encoded images, each image's hypotheses ranked.

        Args:
            context: of `encode`.
            batch: images.
            sampling: None: the configuration's.
            generator: of the method's device.
        """
        sampling = sampling or self.cfg.sampling
        mean_codes = sampling.temperature == 0 and self.cfg.readout == "expectation"
        return sample_tokens(
            lambda ids, positions: self.synthesizer(ids, context, positions),
            self.tokenizer.num_tokens,
            self.synthesizer.mask_id,
            batch,
            sampling,
            device=context.values[0][0].device,
            generator=generator,
            codebook=self.tokenizer.codebook.embeddings if mean_codes else None,
            likeness=None if self.cfg.confidence == "code" else self.tokenizer.likeness,
        ).ranked()

    @torch.no_grad()
    def hypotheses(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> HandHypotheses:
        """Possible hands of each image in camera space, the surest first; call in eval mode.

        Args:
            images: uint8 square crops of any size, or normalised images of the input size.
            intrinsics: camera of `images`.
            ids: names of the samples.
            keypoints: px of `images`; without them the hand is read from the image alone.
            sampling: None: the configuration's.
            generator: of the method's device, for draws that repeat.

        Returns:
            Metres in the camera of `images`; `joints_2d` and `intrinsics` belong to the network's
            input size.
        """
        encoded = self.encode(images, intrinsics, keypoints)
        found, hand = self._draw(encoded, len(images), sampling, generator)
        shape = found.ids.shape[:2]
        result = HandHypotheses(
            ids=ids,
            intrinsics=encoded.intrinsics,
            joints_2d=hand.joints_2d.unflatten(0, shape),
            joints_3d=hand.joints.unflatten(0, shape),
            vertices=hand.vertices.unflatten(0, shape),
            mano_pose=hand.mano_pose.unflatten(0, shape),
            betas=encoded.shape_camera.betas,
            confidence=found.confidence,
            joint_confidence=self._joint_confidence(found),
            tokens=found.ids,
            token_probability=found.probabilities,
        )
        if self.cfg.confidence != "agreement":
            return result
        sure = agreement(result.joints_3d, self._witnesses(encoded, len(images), generator))
        return replace(result, confidence=sure.hands, joint_confidence=sure.joints).ranked()

    @torch.no_grad()
    def predict(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
    ) -> HandPrediction:
        """The surest hand of each image, as the configuration samples; see `hypotheses`."""
        if self.cfg.sampling.hypotheses > 1:
            return self.hypotheses(images, intrinsics, ids, keypoints).surest()
        encoded = self.encode(images, intrinsics, keypoints)
        _, hand = self._draw(encoded, len(images), None, None)
        return HandPrediction(
            ids=ids,
            intrinsics=encoded.intrinsics,
            joints_2d=hand.joints_2d,
            joints_3d=hand.joints,
            vertices=hand.vertices,
            mano_pose=hand.mano_pose,
            betas=hand.betas,
        )

    @torch.no_grad()
    def generate(
        self,
        count: int,
        sampling: SamplingConfig,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "count 16 3 3"]:
        """Poses without any image: the features are zeros and no keypoint is found.

        Args:
            count: poses, which replaces the configuration's number of hypotheses.
            sampling: temperature above 0; MaskHand draws from the 100 likeliest codes.
            generator: of the method's device.
        """
        device = self.joint_tokens.device
        features = torch.zeros(1, self.backbone.num_patches, self.backbone.embed_dim, device=device)
        context = self.synthesizer.encode_context(features)
        sampling = sampling.model_copy(update={"hypotheses": count})
        return self.tokenizer.detokenize(self.sample(context, 1, sampling, generator).ids[0])

    def param_groups(self) -> list[dict[str, Any]]:
        """New parts and encoder, each split by weight decay; the encoder has its own `lr_scale`."""
        new = [self.head, self.synthesizer]
        if self.pose_to_head is not None:
            new.append(self.pose_to_head)
        return parameter_groups([(new, 1.0), ([self.backbone], self.cfg.backbone_lr_scale)])

    def _encode(
        self,
        images: Tensor,
        intrinsics: Tensor,
        keypoints: Keypoints | None,
        shown: Tensor | None = None,
        found: Tensor | None = None,
    ) -> EncodedImages:
        """Encode; `shown`, `found` say of which hands the image and the keypoints may be used."""
        patches = self.backbone(images).patches
        features = patches if shown is None else patches * shown[:, None, None]
        points, confidence = None, None
        if keypoints is not None:
            points = keypoints.points * (2 / self.image_size) - 1
            confidence = keypoints.confidence
            if found is not None:
                confidence = confidence * found[:, None]
        context = self.synthesizer.encode_context(features, points, confidence)
        if self.pose_to_head is not None and context.pose is not None:
            patches = torch.cat([patches, self.pose_to_head(context.pose)], dim=1)
        return EncodedImages(context, self.head(patches), intrinsics)

    def _draw(
        self,
        encoded: EncodedImages,
        batch: int,
        sampling: SamplingConfig | None,
        generator: torch.Generator | None,
    ) -> tuple[SampledTokens, HandEstimate]:
        """Tokens and, one row a hypothesis, their hands."""
        found = self.sample(encoded.context, batch, sampling, generator)
        codes = found.codes
        if codes is None:
            codes = self.tokenizer.codebook.embeddings[found.ids]
        repeated = _repeated(encoded, codes.shape[1])
        return found, self._place(codes.flatten(0, 1), repeated)

    def _witnesses(
        self, encoded: EncodedImages, batch: int, generator: torch.Generator | None
    ) -> Float[Tensor, "batch witnesses 21 3"]:
        """Joints of draws of one pass; without a generator the same ones every time."""
        if generator is None:
            generator = torch.Generator(self.joint_tokens.device).manual_seed(0)
        sampling = SamplingConfig(iterations=1, temperature=1, hypotheses=self.cfg.witnesses)
        _, hand = self._draw(encoded, batch, sampling, generator)
        return hand.joints.unflatten(0, (batch, -1))

    def _joint_confidence(self, found: SampledTokens) -> Float[Tensor, "batch hypotheses 21"]:
        # a probability that underflows would be -inf, and that times a weight of 0 is no number
        log_probability = found.probabilities.clamp(min=1e-30).log()
        return (log_probability @ self.joint_tokens.mT).exp()

    def _draw_mask(self, count: int, device: torch.device) -> Tensor:
        low, high = self.cfg.masking
        tau = low + (high - low) * torch.rand(count, device=device)
        return random_mask(tau, self.tokenizer.num_tokens)

    def _visible(self, mano_pose: Tensor, targets: Tensor) -> Tensor:
        """The tokens that may be seen: the targets, or those of a pose near it."""
        if not self.cfg.visible_noise:
            return targets
        spread = self.cfg.visible_noise * torch.rand(len(targets), 1, 1, device=targets.device)
        turn = axis_angle_to_matrix(spread * torch.randn_like(mano_pose[..., 0]))
        return self.tokenizer.tokenize(turn @ mano_pose)

    def _mask(self, targets: Tensor, visible: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """What the network sees, and which of the visible tokens are wrong."""
        corrupt = torch.rand(targets.shape, device=targets.device) < self.cfg.corruption
        random = torch.randint_like(targets, self.tokenizer.num_codes)
        ids = torch.where(corrupt, random, visible)
        wrong = ~hidden & (ids != targets)
        return torch.where(hidden, self.synthesizer.mask_id, ids), wrong

    def _place(self, codes: Tensor, encoded: EncodedImages) -> HandEstimate:
        betas, camera = encoded.shape_camera
        return place_hand(
            self.tokenizer.decode(codes),
            betas,
            camera,
            encoded.intrinsics,
            self.mano,
            self.image_size,
            self.cfg.camera_joint,
        )


def _repeated(encoded: EncodedImages, times: int) -> EncodedImages:
    """Shape, camera and intrinsics once a hypothesis."""
    betas, camera = (value.repeat_interleave(times, 0) for value in encoded.shape_camera)
    intrinsics = encoded.intrinsics.repeat_interleave(times, 0)
    return EncodedImages(encoded.context, ShapeAndCamera(betas, camera), intrinsics)
