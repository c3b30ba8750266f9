"""Configurations of MaskHand's family: tokenizer, networks, losses, sampling.

MaskHand, also MMHMR (arXiv 2412.13393), publishes few values and no code; each field says where its
default comes from.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from hand_pipeline.config import Config
from hand_pipeline.methods.maskhand.feature_scales import check_scales
from hand_pipeline.methods.maskhand.sampling import SamplingConfig


class PoseTokenizerConfig(Config):
    """Sizes of VQ-MANO's encoder and decoder, and the codebook between them."""

    retired: ClassVar[Mapping[str, Any]] = {
        "dilation_growth": 3, "codebook_threshold": 1.0,
    }  # fmt: skip

    num_tokens: Literal[16, 32, 64, 128] = Field(64, description="tokens of a pose; paper: 64")
    code_dim: int = Field(256, gt=0, description="width of a token; paper: 256")
    width: int = Field(512, gt=0, description="channels between; TokenHMR: 512")
    depth: int = Field(2, ge=0, description="residual blocks of each network; TokenHMR: 2")
    num_codes: int = Field(2048, gt=1, description="rows of the codebook; paper: 2048")
    codebook_decay: float = Field(
        0.99, ge=0, lt=1, description="of the moving-average codes; T2M-GPT, TokenHMR: 0.99"
    )


class VqManoConfig(PoseTokenizerConfig):
    """VQ-MANO: sizes (inherited: MaskHand needs only them), losses and augmentation."""

    weight_pose: float = Field(1.0, ge=0, description="L1 of rotation matrices; our starting value")
    weight_vertices: float = Field(0.5, ge=0, description="L1, metres; our starting value")
    weight_joints: float = Field(0.3, ge=0, description="L1, metres; our starting value")
    weight_commitment: float = Field(
        0.02, ge=0, description="squared distance to the code; T2M-GPT, MMM, MoMask: 0.02"
    )
    rotation_augmentation: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of poses with a random global rotation; the paper rotates, but does not "
        "say how often",
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )
    tips: str = Field("freihand", description="whose fingertip vertices are joints")


class ContextSynthesizerConfig(Config):
    """The masked transformer for images and for texts (section 3 and tables 12-16)."""

    retired: ClassVar[Mapping[str, Any]] = {
        "upsampler_norm": "group", "graph_layers": 2,
    }  # fmt: skip

    width: int = Field(256, gt=0, description="of tokens and maps; not printed, the code width")
    heads: int = Field(8, gt=0, description="attention heads; not printed, Deformable DETR's")
    points: int = Field(4, gt=0, description="points per head and map; Deformable DETR's")
    layers: int = Field(4, ge=1, description="synthesizer layers; MaskHand: 4 of 2, 4, 6, 8 tried")
    refinement_blocks: int = Field(2, ge=1, description="GAPR blocks; MaskHand: B = 2")
    feedforward_width: int = Field(1024, gt=0, description="hidden; Deformable DETR's")
    dropout: float = Field(0.1, ge=0, lt=1, description="of every branch; MMM, Deformable DETR")
    context: Literal["maps", "tokens"] = Field(
        "maps",
        description="maps: feature maps by deformable attention; tokens: a few tokens (a text "
        "embedding) by plain cross-attention, since they have no positions to sample",
    )
    scales: tuple[int, ...] = Field(
        (1, 4), description="multiples of the patch grid, rising powers of two; MaskHand: 1, 4"
    )
    use_upsampler: bool = Field(True, description="off: only the map at 1x (ablation)")
    use_pose_2d: bool = Field(True, description="off: no 2D keypoints (ablation)")
    use_graph_refinement: bool = Field(True, description="off: no GAPR (ablation)")
    tokenizer: PoseTokenizerConfig | None = Field(
        None, description="sizes of the frozen VQ-MANO; null: those of its checkpoint"
    )
    mano_model: Path | None = Field(
        None, description="converted licensed MANO file; null is the open hand"
    )
    condition_dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="share of hands trained without image and keypoints (features zeroed) or text, "
        "for unconditional generation; MoMask: 0.1",
    )
    corruption: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of visible tokens replaced by random codes, so that later passes "
        "tolerate mistakes of earlier ones; MMM 0.5, MoMask 0.1; not in MaskHand's paper",
    )
    weight_mask: float = Field(
        1.0,
        ge=0,
        description="nats per token; with images it must dominate: with PyMAF's weights of the "
        "other terms the mean code acts as a regressor and tokens are not learnt",
    )

    @property
    def used_scales(self) -> tuple[int, ...]:
        """Scales of the maps: `scales`, or only 1x without the upsampler."""
        return self.scales if self.use_upsampler else (1,)

    @model_validator(mode="after")
    def _fits(self) -> "ContextSynthesizerConfig":
        check_scales(self.scales)
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        return self


class ShapeCameraHeadConfig(Config):
    """The head that regresses shape and camera; HaMeR's decoder, as MaskHand gives no sizes."""

    retired: ClassVar[Mapping[str, Any]] = {
        "mean_camera": [0.75, 0.0, 0.0],
    }  # fmt: skip

    width: int = Field(1024, gt=0, description="of the query; HaMeR: 1024")
    depth: int = Field(6, ge=1, description="layers; HaMeR: 6")
    heads: int = Field(8, gt=0, description="attention heads; HaMeR: 8")
    head_width: int = Field(64, gt=0, description="of one head; HaMeR: 64")
    feedforward_width: int = Field(1024, gt=0, description="hidden; HaMeR: 1024")
    dropout: float = Field(0.0, ge=0, lt=1, description="HaMeR: none")


class MaskHandConfig(ContextSynthesizerConfig):
    """MaskHand: the transformer (inherited), the head, sampling, masking, the losses."""

    retired: ClassVar[Mapping[str, Any]] = {
        **ContextSynthesizerConfig.retired, "head_reads_keypoints": True,
    }  # fmt: skip

    context: Literal["maps"] = Field("maps", description="feature maps; text is maskhand_text's")
    head: ShapeCameraHeadConfig = Field(
        ShapeCameraHeadConfig(), description="regresses shape and camera"
    )
    camera_joint: int = Field(9, ge=0, le=20, description="joint whose position is regressed")
    tips: str = Field("freihand", description="data set whose fingertip vertices to use")

    sampling: SamplingConfig = Field(SamplingConfig(), description="of `predict`")
    readout: Literal["expectation", "codes"] = Field(
        "expectation",
        description="what is decoded at temperature 0: the mean code under the logits of the pass "
        "that fixed a token (the estimate of least error), or the likeliest code",
    )
    confidence: Literal["agreement", "alike", "code"] = Field(
        "agreement",
        description="of a hand: agreement with further samples, or the probability of its tokens: "
        "each code with similar ones (alike), or the code only (MaskGIT); the paper prints "
        "percentages without a formula",
    )
    witnesses: int = Field(
        16, ge=1, description="further one-pass samples that `agreement` compares with; our choice"
    )

    masking: tuple[float, float] = Field(
        (0.0, 1.0), description="range of tau, 0 masks all tokens; MaskHand: U(0, 1) and ablations"
    )
    visible_noise: float = Field(
        0.0,
        ge=0,
        description="random rotation of the joints behind the visible tokens, radians: each hand's "
        "standard deviation is uniform up to this. Imitates mistakes of an earlier pass better "
        "than random codes; our addition, 0 in the paper",
    )
    self_conditioning: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of hands whose visible tokens are the network's own: a pass without "
        "gradient over masked tokens leaves its surest, as sampling does. Above 0 visible tokens "
        "are asked for, too, and at temperature 0 the last pass reads all positions; our addition, "
        "0 in the paper",
    )
    keypoint_dropout: float = Field(
        0.2,
        ge=0,
        le=1,
        description="share of hands trained without keypoints; our choice",
    )
    joint_dropout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="single keypoints hidden in training: each hand's share is uniform up to this, "
        "since a detector misses some joints of an occluded hand; our choice, 0 in the paper",
    )
    blackout: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of hands with black cells in their box, up to 90 % of them, and the "
        "keypoints there hidden; our choice, 0 in the paper",
    )
    weight_mano_pose: float = Field(0.5, ge=0, description="squared matrix error; our choice")
    weight_mano_betas: float = Field(0.2, ge=0, description="squared std. deviations; our choice")
    weight_mano_camera: float = Field(10.0, ge=0, description="squared crop units; our choice")
    weight_vertices: float = Field(4.0, ge=0, description="metres; our choice, 0 in the paper")
    weight_local_vertices: float = Field(
        0.0, ge=0, description="metres, in the wrist's frame; our addition, 0 in the paper"
    )
    weight_joints_3d: float = Field(4.0, ge=0, description="metres; our choice")
    weight_joints_2d: float = Field(0.5, ge=0, description="share of the image side; our choice")
    weight_positive_scale: float = Field(1.0, ge=0, description="PyMAF: 1")
    weight_own_joints_2d: float = Field(
        0.0,
        ge=0,
        description="nats; above 0 a head on the encoder finds 2D joints, which stand in where the "
        "detector has none; our addition, 0 in the paper",
    )
    weight_joint_error: float = Field(
        0.0,
        ge=0,
        description="above 0 a head learns each joint's expected error on detached hands; the "
        "confidence of joints is made from it; our addition, 0 in the paper",
    )
    root: int | None = Field(
        0, ge=0, le=20, description="joint that 3D losses are relative to; null: absolute"
    )
    frozen_blocks: int = Field(0, ge=0, description="number of initial ViT blocks kept frozen")
    backbone_lr_scale: float = Field(
        1.0, gt=0, description="learning rate of the ViT relative to the rest"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "MaskHandConfig":
        low, high = self.masking
        if not 0 <= low <= high <= 1:
            raise ValueError(f"masking must be a range within 0 to 1, got {low} to {high}")
        if self.weight_own_joints_2d and not self.use_pose_2d:
            raise ValueError(
                "nothing reads 2D joints without use_pose_2d; set weight_own_joints_2d to 0"
            )
        return self


class TextEncoderConfig(Config):
    """The text encoder, which turns prompts into features."""

    encoder: Literal["auto", "clip", "hashed"] = Field(
        "auto",
        description="clip: CLIP's text encoder, downloaded if necessary; hashed: features of the "
        "spelling, no weights; auto: clip if its weights are on this machine, else hashed",
    )
    clip_model: str = Field(
        "openai/clip-vit-base-patch32",
        description="folder or hub name; MaskHand's paper says CLIP, MMM and MoMask use ViT-B/32",
    )


class TextMaskHandConfig(ContextSynthesizerConfig):
    """MaskHand from text: the transformer (inherited), the texts, the losses, sampling.

    The paper gives no sizes, weights or schedule of this experiment.
    """

    context: Literal["tokens"] = Field("tokens", description="one token: the text's feature")
    use_pose_2d: Literal[False] = Field(False, description="a text has no 2D keypoints")
    prompts: tuple[str, ...] = Field(
        (), description="texts to learn; empty: those of the training set"
    )
    template: str = Field(
        "{}", description="text given to the encoder for a prompt {}; not given in the paper"
    )
    text: TextEncoderConfig = Field(
        TextEncoderConfig(), description="encoder; a checkpoint stores the one that was used"
    )
    feature_width: int = Field(512, gt=0, description="of the encoder; CLIP ViT-B/32: 512")
    weight_pose: float = Field(
        0.0, ge=0, description="L1 of rotation matrices of the expected hand; 0: not computed"
    )
    weight_vertices: float = Field(
        0.0, ge=0, description="L1, metres, of the expected hand; 0: not computed"
    )
    top_share: float = Field(
        0.05, gt=0, le=1, description="of the codes that are drawn from; MaskHand's text: 5 %"
    )
    iterations: int = Field(5, ge=1, description="passes of sampling; MaskHand: 5")
    temperature: float = Field(1.0, ge=0, description="of sampling; not printed, MMM's: 1")

    @field_validator("template")
    @classmethod
    def _one_place(cls, template: str) -> str:
        if template.count("{}") != 1:
            raise ValueError(f"the template needs one {{}} for the prompt, got {template!r}")
        return template
