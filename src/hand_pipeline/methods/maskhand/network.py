"""MaskHand's network: a photo's context, and the hands whose pose tokens are drawn from it.

MaskHand (arXiv 2412.13393), section 3: a ViT encodes the image; a cross-attention head regresses
shape and camera; image and 2D keypoints are the context from which the masked transformer infers
the tokens of the frozen VQ-MANO, in T passes, the surest first (`sampling`). How it is trained is
in `maskhand`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand.context_synthesizer import (
    Context,
    ContextSynthesizer,
    ContextSynthesizerConfig,
)
from hand_pipeline.methods.maskhand.pose_tokenizer import (
    PoseTokenizer,
    PoseTokenizerConfig,
    joint_tokens,
    tokenizer_state,
)
from hand_pipeline.methods.maskhand.sampling import (
    SampledTokens,
    SamplingConfig,
    Vocabulary,
    sample_tokens,
)
from hand_pipeline.methods.maskhand.shape_camera_head import (
    ShapeAndCamera,
    ShapeCameraHead,
    ShapeCameraHeadConfig,
)
from hand_pipeline.models.crop_camera import HandEstimate, place_hand
from hand_pipeline.models.state import load_strictly
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.models.vit_weights import load_into


class MaskHandNetworkConfig(ContextSynthesizerConfig):
    """The transformer (inherited), the head, the frozen tokenizer, the hand and how it is drawn."""

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
    camera_joint: int = Field(9, ge=0, le=20, description="joint whose place is regressed")
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

    def repeated(self, times: int) -> "EncodedImages":
        """Shape, camera and intrinsics once a hypothesis."""
        betas, camera = (value.repeat_interleave(times, 0) for value in self.shape_camera)
        intrinsics = self.intrinsics.repeat_interleave(times, 0)
        return EncodedImages(self.context, ShapeAndCamera(betas, camera), intrinsics)


class MaskHandNetwork(nn.Module):
    """Encoder, head, context-guided masked transformer and frozen tokenizer.

    Args:
        cfg: architecture and sampling; `tokenizer` must be given here.
        vit: the encoder and what it starts from.

    Raises:
        ValueError: no tokenizer sizes.
    """

    mano: ManoHand
    joint_tokens: Float[Tensor, "21 tokens"]

    def __init__(self, cfg: MaskHandNetworkConfig, vit: VitConfig) -> None:
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
        guided = cfg.head_reads_keypoints and cfg.use_pose_2d
        self.pose_to_head = nn.Linear(cfg.width, self.backbone.embed_dim) if guided else None
        tokens = joint_tokens(self.tokenizer.num_tokens)
        self.register_buffer("joint_tokens", tokens, persistent=False)

    def train(self, mode: bool = True) -> "MaskHandNetwork":
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

    def encode_input(
        self,
        images: Float[Tensor, "batch 3 size size"],
        intrinsics: Float[Tensor, "batch 3 3"],
        points: Float[Tensor, "batch 21 2"] | None = None,
        confidence: Float[Tensor, "batch 21"] | None = None,
        shown: Bool[Tensor, " batch"] | None = None,
    ) -> EncodedImages:
        """Everything that does not change between passes and hypotheses.

        Args:
            images: normalised, of the input size.
            intrinsics: camera of `images`.
            points: 2D keypoints, -1 to 1 over the image; None: none were found.
            confidence: of `points`, 0 to 1.
            shown: of which hands the transformer may see the image; None: of all.
        """
        patches = self.backbone(images).patches
        features = patches if shown is None else patches * shown[:, None, None]
        context = self.synthesizer.encode_context(features, points, confidence)
        if self.pose_to_head is not None and context.pose is not None:
            patches = torch.cat([patches, self.pose_to_head(context.pose)], dim=1)
        return EncodedImages(context, self.head(patches), intrinsics)

    def sample(
        self,
        context: Context,
        batch: int,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> SampledTokens:
        """Tokens for encoded images, each image's hypotheses ranked.

        Args:
            context: of `encode_input`.
            batch: images.
            sampling: None: the configuration's.
            generator: of the method's device.
        """
        sampling = sampling or self.cfg.sampling
        return sample_tokens(
            lambda ids, positions: self.synthesizer(ids, context, positions),
            self.vocabulary(sampling),
            batch,
            sampling,
            context.values[0][0].device,
            generator,
        ).ranked()

    def vocabulary(self, sampling: SamplingConfig) -> Vocabulary:
        """The tokens, with the mean codes where they are read out and likeness where it counts."""
        mean_codes = sampling.temperature == 0 and self.cfg.readout == "expectation"
        return Vocabulary(
            self.tokenizer.num_tokens,
            self.synthesizer.mask_id,
            self.tokenizer.codebook.embeddings if mean_codes else None,
            None if self.cfg.confidence == "code" else self.tokenizer.likeness,
        )

    def draw(
        self,
        encoded: EncodedImages,
        batch: int,
        sampling: SamplingConfig | None,
        generator: torch.Generator | None,
    ) -> tuple[SampledTokens, HandEstimate]:
        """Tokens of `sample` and, one row a hypothesis, their hands."""
        found = self.sample(encoded.context, batch, sampling, generator)
        codes = found.codes
        if codes is None:
            codes = self.tokenizer.codebook.embeddings[found.ids]
        repeated = encoded.repeated(codes.shape[1])
        return found, self.place(codes.flatten(0, 1), repeated)

    def witnesses(
        self, encoded: EncodedImages, batch: int, generator: torch.Generator | None
    ) -> Float[Tensor, "batch witnesses 21 3"]:
        """Joints of draws of one pass; without a generator the same ones every time."""
        if generator is None:
            generator = torch.Generator(self.joint_tokens.device).manual_seed(0)
        sampling = SamplingConfig(iterations=1, temperature=1, hypotheses=self.cfg.witnesses)
        _, hand = self.draw(encoded, batch, sampling, generator)
        return hand.joints.unflatten(0, (batch, -1))

    def joint_confidence(self, found: SampledTokens) -> Float[Tensor, "batch hypotheses 21"]:
        """Of each joint: geometric mean of the probabilities of the tokens that move it, 0 to 1."""
        # a probability that underflows would be -inf, and that times a weight of 0 is no number
        log_probability = found.probabilities.clamp(min=1e-30).log()
        return (log_probability @ self.joint_tokens.mT).exp()

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

    def place(
        self, codes: Float[Tensor, "rows tokens dim"], encoded: EncodedImages
    ) -> HandEstimate:
        """The hands that codes decode to, with the shape and the camera of as many images."""
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
