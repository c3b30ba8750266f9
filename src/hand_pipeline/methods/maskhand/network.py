"""MaskHand's network: encodes a photo as context, and samples hands as pose tokens from it.

MaskHand (arXiv 2412.13393), section 3: a ViT encodes the image; a cross-attention head regresses
shape and camera; image and 2D keypoints are the context from which the masked transformer infers
the tokens of the frozen VQ-MANO, in T passes, the most confident first (`sampling`). `maskhand`
has the training.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.config import MaskHandConfig
from hand_pipeline.methods.maskhand.context_synthesizer import Context, ContextSynthesizer
from hand_pipeline.methods.maskhand.drawn_hands import GeneratedHands, in_parts
from hand_pipeline.methods.maskhand.joint_error_head import JointErrorHead
from hand_pipeline.methods.maskhand.pose_tokenizer import (
    PoseTokenizer,
    joint_tokens,
    tokenizer_state,
)
from hand_pipeline.methods.maskhand.sampling import (
    Predictor,
    SampledTokens,
    SamplingConfig,
    sample_tokens,
)
from hand_pipeline.methods.maskhand.shape_camera_head import (
    ShapeAndCamera,
    ShapeCameraHead,
)
from hand_pipeline.models.crop_camera import HandEstimate, place_hand
from hand_pipeline.models.keypoint_head import KeypointHead, OwnJoints
from hand_pipeline.models.state import load_strictly
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.models.vit_weights import load_into


class EncodedImages(NamedTuple):
    """What is computed once per image, for all samples.

    Attributes:
        context: for the synthesizer.
        shape_camera: betas and camera.
        intrinsics: of the network's input.
        own_joints: 2D joints of the network's own; None without their head.
    """

    context: Context
    shape_camera: ShapeAndCamera
    intrinsics: Float[Tensor, "batch 3 3"]
    own_joints: OwnJoints | None = None

    def repeated(self, times: int) -> "EncodedImages":
        """Shape, camera and intrinsics repeated for each hypothesis."""
        betas, camera = (value.repeat_interleave(times, 0) for value in self.shape_camera)
        intrinsics = self.intrinsics.repeat_interleave(times, 0)
        return EncodedImages(self.context, ShapeAndCamera(betas, camera), intrinsics)


class MaskHandNetwork(nn.Module):
    """Encoder, head, context-guided masked transformer and frozen tokenizer.

    Deviation: the head also attends to the 2D pose tokens, which locate the hand far better than
    patches do; the paper's does not. On request joints of a head of its own stand in for those that
    the detector has not found (`keypoint_head`): without, graph and reference points are then the
    same for all images.

    Args:
        cfg: architecture and sampling; `tokenizer` must be given here.
        vit: the encoder and its initialisation.

    Raises:
        ValueError: no tokenizer sizes.
    """

    mano: ManoHand
    joint_tokens: Float[Tensor, "21 tokens"]

    def __init__(self, cfg: MaskHandConfig, vit: VitConfig) -> None:
        super().__init__()
        if cfg.tokenizer is None:
            raise ValueError(
                "MaskHand needs the sizes of its tokenizer: set cfg.tokenizer, or take them from "
                "the tokenizer's checkpoint (`pose_tokenizer.sizes_of`)"
            )
        self.cfg = cfg
        self.image_size = vit.image_size
        self.mano = ManoHand(cfg.mano_model, tips=cfg.tips)
        self.tokenizer = PoseTokenizer(cfg.tokenizer).requires_grad_(False)
        self.backbone = build_vit(vit)
        self.head = ShapeCameraHead(cfg.head, self.backbone.embed_dim)
        self.synthesizer = ContextSynthesizer(
            cfg, self.tokenizer.num_tokens, self.tokenizer.num_codes, self.backbone.embed_dim
        )
        width = self.backbone.embed_dim
        self.pose_to_head = nn.Linear(cfg.width, width) if cfg.use_pose_2d else None
        self.keypoint_head = KeypointHead(width) if cfg.weight_own_joints_2d else None
        self.error_head = JointErrorHead(cfg.width) if cfg.weight_joint_error else None
        tokens = joint_tokens(self.tokenizer.num_tokens)
        self.register_buffer("joint_tokens", tokens, persistent=False)

    def train(self, mode: bool = True) -> "MaskHandNetwork":
        """Set the mode; the tokenizer always stays in eval mode."""
        super().train(mode)
        self.tokenizer.eval()
        return self

    def load_tokenizer(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Load the tokenizer of a trained VQ-MANO.

        Raises:
            CheckpointMismatchError: it has other sizes.
        """
        load_strictly(self.tokenizer, tokenizer_state(tensors), origin)

    def load_backbone(self, weights: Mapping[str, Tensor], origin: str) -> None:
        """Load ViT weights by timm's parameter names.

        Raises:
            CheckpointMismatchError: they belong to another architecture.
        """
        load_into(self.backbone.trunk, weights, origin)

    def encode_input(
        self,
        images: Float[Tensor, "batch 3 size size"],
        intrinsics: Float[Tensor, "batch 3 3"],
        points: Float[Tensor, "batch 21 2"] | None = None,
        confidence: Float[Tensor, "batch 21"] | None = None,
        shown: Bool[Tensor, " batch"] | None = None,
    ) -> EncodedImages:
        """Compute what all passes and hypotheses share.

        Args:
            images: normalised, of the input size.
            intrinsics: camera of `images`.
            points: 2D keypoints, -1 to 1 over the image; None: not detected.
            confidence: of `points`, 0 to 1.
            shown: hands whose image the transformer may see; None: all.
        """
        patches = self.backbone(images).patches
        features = patches if shown is None else patches * shown[:, None, None]
        own = None if self.keypoint_head is None else self.keypoint_head(patches)
        if own is not None:
            points, confidence = own.stand_in(points, confidence, shown)
        context = self.synthesizer.encode_context(features, points, confidence)
        if self.pose_to_head is not None and context.pose is not None:
            patches = torch.cat([patches, self.pose_to_head(context.pose)], dim=1)
        return EncodedImages(context, self.head(patches), intrinsics, own)

    def sample(
        self,
        context: Context,
        batch: int,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> SampledTokens:
        """Tokens for encoded images, each image's hypotheses ranked.

        Args:
            context: from `encode_input`.
            batch: number of images.
            sampling: None: the configuration's.
            generator: on the method's device.
        """
        return self.sample_by(
            lambda ids, positions: self.synthesizer(ids, context, positions),
            batch, sampling or self.cfg.sampling, generator,
        )  # fmt: skip

    def sample_by(
        self,
        predict: Predictor,
        batch: int,
        sampling: SamplingConfig,
        generator: torch.Generator | None = None,
    ) -> SampledTokens:
        """`sample` with any way to compute the logits."""
        mean_codes = sampling.temperature == 0 and self.cfg.readout == "expectation"
        return sample_tokens(
            predict,
            self.synthesizer.masked(batch),
            sampling,
            generator=generator,
            codebook=self.tokenizer.codebook.embeddings if mean_codes else None,
            likeness=self.likeness,
            read_all=self.cfg.self_conditioning > 0,
        ).ranked()

    @property
    def likeness(self) -> Float[Tensor, "codes codes"] | None:
        """Similarity of codes by which a token is sure; None: each stands for itself."""
        return None if self.cfg.confidence == "code" else self.tokenizer.likeness

    def draw(
        self,
        encoded: EncodedImages,
        batch: int,
        sampling: SamplingConfig | None,
        generator: torch.Generator | None,
    ) -> tuple[SampledTokens, HandEstimate]:
        """Tokens from `sample` and their hands, one row per hypothesis."""
        found = self.sample(encoded.context, batch, sampling, generator)
        return found, self.hands_of(found, encoded)

    def hands_of(self, found: SampledTokens, encoded: EncodedImages) -> HandEstimate:
        """Hands of sampled tokens, one row per hypothesis: of mean codes where there are any."""
        codes = found.codes
        if codes is None:
            codes = self.tokenizer.codebook.embeddings[found.ids]
        repeated = encoded.repeated(codes.shape[1])
        return self.place(codes.flatten(0, 1), repeated)

    def witnesses(
        self, encoded: EncodedImages, batch: int, generator: torch.Generator | None
    ) -> Float[Tensor, "batch witnesses 21 3"]:
        """Joints of one-pass samples; without a generator always with the same seed."""
        if generator is None:
            generator = torch.Generator(self.joint_tokens.device).manual_seed(0)
        sampling = SamplingConfig(iterations=1, temperature=1, hypotheses=self.cfg.witnesses)
        _, hand = self.draw(encoded, batch, sampling, generator)
        return hand.joints.unflatten(0, (batch, -1))

    def joint_confidence(self, found: SampledTokens) -> Float[Tensor, "batch hypotheses 21"]:
        """Geometric mean of the probabilities of the tokens that move each joint, 0 to 1.

        What `predict` gives where there is neither agreement nor a head of errors.
        """
        # clamped, because the logarithm of 0 times a weight of 0 is NaN
        log_probability = found.probabilities.clamp(min=1e-30).log()
        return (log_probability @ self.joint_tokens.mT).exp()

    def expected_errors(
        self, found: SampledTokens, hand: HandEstimate, context: Context
    ) -> Float[Tensor, "hands 21"]:
        """Of each joint of `hands_of(found, ...)`, metres; only with a head of errors."""
        assert self.error_head is not None  # the callers looked
        places = hand.joints_2d * (2 / self.image_size) - 1
        sure = self.joint_confidence(found).flatten(0, 1)
        expected: Tensor = self.error_head(context, hand.joints, places, sure)
        return expected

    @torch.no_grad()
    def generate(
        self,
        count: int,
        sampling: SamplingConfig,
        generator: torch.Generator | None = None,
    ) -> GeneratedHands:
        """Sample poses without an image: features are zero and no keypoint is detected.

        Args:
            count: number of poses, instead of `sampling.hypotheses`.
            sampling: temperature above 0; MaskHand samples from the 100 likeliest codes.
            generator: on the method's device.

        Raises:
            ValueError: several poses at temperature 0, which would be the same.
        """
        device = self.joint_tokens.device
        features = torch.zeros(1, self.backbone.num_patches, self.backbone.embed_dim, device=device)
        context = self.synthesizer.encode_context(features)
        found = [self.sample(context, 1, sampling.times(n), generator) for n in in_parts(count)]
        pose = torch.cat([self.tokenizer.detokenize(part.ids[0]) for part in found])
        return GeneratedHands(pose, torch.cat([p.confidence[0] for p in found])).ranked(count)

    def place(
        self, codes: Float[Tensor, "rows tokens dim"], encoded: EncodedImages
    ) -> HandEstimate:
        """Decode codes to hands, with the shape and the camera of one image per row."""
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
