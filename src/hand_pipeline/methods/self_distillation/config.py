"""Configurations of HandMIM and iBOT, and what both share.

Where a field offers several readings of HandMIM's papers, the default fits them best. Views and
backbone have their own configurations.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from hand_pipeline.config import ANY, Config
from hand_pipeline.methods.self_distillation.pose_alignment import Coordinates


class SelfDistillationConfig(Config):
    """Options that iBOT and HandMIM share."""

    retired: ClassVar[Mapping[str, Any]] = {
        "total_steps": ANY, "mask_shape": "block", "mask_stratified": True, "mask_rounds": 40,
        "head_layers": 3, "targets": "center", "finetune_weights": "teacher",
    }  # fmt: skip

    mask_ratio: tuple[float, float] = Field(
        (0.1, 0.5), description="share of hidden patches, uniform in this range (HandMIM 4.1)"
    )
    latent_dim: int = Field(
        256, gt=1, description="iBOT's bottleneck; 128 pseudo key points x 2 (HandMIM 3.2)"
    )
    head_hidden_dim: int = Field(2048, gt=0, description="iBOT")
    head_full_precision: bool = Field(
        True, description="hidden layers in float32, as the last one always is; False: autocast"
    )
    center_momentum: float = Field(0.9, ge=0, lt=1, description="iBOT")
    student_temperature: float = Field(0.1, gt=0, description="iBOT; HandMIM: 'constant'")
    class_temperature: tuple[float, float] = Field((0.04, 0.04), description="teacher's; iBOT")
    patch_temperature: tuple[float, float] = Field((0.04, 0.07), description="teacher's; iBOT")
    temperature_warmup: float = Field(
        0.075, ge=0, le=1, description="share of the run until the second; iBOT: 30 of 400 epochs"
    )
    ema_momentum: tuple[float, float] = Field(
        (0.996, 1.0), description="of the teacher, at first and last step (cosine); iBOT"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "SelfDistillationConfig":
        if not 0 < self.mask_ratio[0] <= self.mask_ratio[1] < 1:
            raise ValueError(
                f"mask_ratio must be (smallest, largest) within (0, 1), got {self.mask_ratio}"
            )
        if min(*self.class_temperature, *self.patch_temperature) <= 0:
            raise ValueError("teacher temperatures must be above 0")
        if not all(0 <= m <= 1 for m in self.ema_momentum):
            raise ValueError(f"ema_momentum must lie in [0, 1], got {self.ema_momentum}")
        return self


class HandMIMConfig(SelfDistillationConfig):
    """HandMIM's own options (arXiv 2307.16061)."""

    retired: ClassVar[Mapping[str, Any]] = {
        **SelfDistillationConfig.retired, "koleo_weight": 0.0, "head_l2": False,
        "decoder_kernel": 2, "decoder_order": "coarse_first", "decoder_layers": None,
        "recon_target": "view",
    }  # fmt: skip

    pose_weight: float = Field(1.0, ge=0, description="of L_pose (HandMIM eq. 10)")
    patch_weight: float = Field(1.0, ge=0, description="of L_patch (HandMIM eq. 10)")
    recon_weight: float = Field(1.0, ge=0, description="of L_recon (HandMIM eq. 10); 0: no decoder")
    patch_prototypes: int = Field(
        0,
        ge=0,
        description="0: patch tokens are compared in the latent space itself ('the same latent "
        "space', Algorithm 3); 8192: through iBOT's prototypes",
    )
    patch_tokens: Literal["masked", "all"] = Field(
        "masked", description="hidden patches only (the text, iBOT), or all (eq. 7 has no mask)"
    )
    align: Literal["both", "relative", "none"] = Field(
        "both",
        description="both: map the key points of both networks to the photo's frame; relative: map "
        "the student's to the teacher's view; none: plain DINO",
    )
    coordinates: Coordinates = Field(
        "centred",
        description="units of key points: (px - size / 2) / size; symmetric: twice that; corner: "
        "px / size, so that views rotate about their corner (eq. 3); pixels: px - size / 2, which "
        "saturates the softmax",
    )
    decoder_width: int = Field(256, gt=0, description="channels at the first stage (our choice)")

    @model_validator(mode="after")
    def _points_are_pairs(self) -> "HandMIMConfig":
        if self.latent_dim % 2:
            raise ValueError(f"latent_dim is key points times 2, so even, got {self.latent_dim}")
        return self


class IbotConfig(SelfDistillationConfig):
    """iBOT's own options (arXiv 2111.07832)."""

    retired: ClassVar[Mapping[str, Any]] = {
        **SelfDistillationConfig.retired, "prototype_gain": False, "patch_center_tokens": "all",
    }  # fmt: skip

    class_weight: float = Field(1.0, ge=0, description="of L_CLS; iBOT's lambda1")
    patch_weight: float = Field(1.0, ge=0, description="of L_MIM; iBOT's lambda2")
    prototypes: int = Field(8192, gt=1, description="width of the shared last layer (iBOT)")
    freeze_prototypes: float = Field(
        0.0025, ge=0, le=1, description="share of the run they stay fixed; iBOT: 1 epoch of 400"
    )
