"""HandMIM: masked image modelling on hand photos with pose-aware alignment.

arXiv 2307.16061 and Front. Phys. 12:1515842. No code was published: what the papers leave open is
iBOT's default where there is one, and an option here where there are two readings.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.data.batch import Batch
from hand_pipeline.data.views import ViewConfig, ViewPair
from hand_pipeline.methods.self_distillation.distillation import (
    Center,
    cross_view_loss,
    koleo_loss,
    patch_loss,
)
from hand_pipeline.methods.self_distillation.masked_pixel import (
    masked_pixel_loss,
    normalize_patches,
    patches_to_pixels,
)
from hand_pipeline.methods.self_distillation.masking import gather_masked
from hand_pipeline.methods.self_distillation.pixel_decoder import (
    PixelDecoder,
    fused_layers,
    num_stages,
)
from hand_pipeline.methods.self_distillation.pose_alignment import (
    Coordinates,
    between_views,
    pose_aware_alignment,
)
from hand_pipeline.methods.self_distillation.student_teacher import (
    MaskedStep,
    SelfDistillation,
    SelfDistillationConfig,
)
from hand_pipeline.models.vit import VisionTransformer, VitConfig


class HandMIMConfig(SelfDistillationConfig):
    """HandMIM's own numbers; what it takes from iBOT is inherited, views have their own config.

    Where a field names a reading, the default is the one that fits the papers' text best.
    """

    pose_weight: float = Field(1.0, ge=0, description="of L_pose (HandMIM eq. 10)")
    patch_weight: float = Field(1.0, ge=0, description="of L_patch (HandMIM eq. 10)")
    recon_weight: float = Field(1.0, ge=0, description="of L_recon (HandMIM eq. 10); 0: no decoder")
    koleo_weight: float = Field(0.0, ge=0, description="of DINOv2's spread of class tokens, 0.1")

    head_l2: bool = Field(
        False, description="unit-length latents: iBOT and PeCLR do, HandMIM names no norm"
    )
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
        description="map both networks' key points to the photo; or the student's from its view "
        "to the teacher's; or not at all (plain DINO)",
    )
    coordinates: Coordinates = Field(
        "centred",
        description="units of key points: (px - size / 2) / size; symmetric: twice that; corner: "
        "px / size, so that a view turns about its corner's frame (eq. 3); pixels: px - size / 2, "
        "which saturates the softmax",
    )

    decoder_width: int = Field(256, gt=0, description="channels at the first stage (our choice)")
    decoder_kernel: Literal[2, 4] = Field(
        2, description="of transposed convolutions; HandMIM gives none, 4 costs twice as much"
    )
    decoder_order: Literal["coarse_first", "reversed"] = Field(
        "coarse_first", description="layer 3 on the coarsest map (eq. 8), or the last one, as FPN"
    )
    decoder_layers: tuple[int, ...] | None = Field(
        None, description="from 1; None: spread over the depth, (3, 6, 9, 12) of 12 (HandMIM 3.4)"
    )
    recon_target: Literal["view", "patch_norm"] = Field(
        "view", description="the normalised view, or each patch normalised by itself (MAE)"
    )

    @model_validator(mode="after")
    def _points_are_pairs(self) -> "HandMIMConfig":
        if self.latent_dim % 2:
            raise ValueError(f"latent_dim is key points times 2, so even, got {self.latent_dim}")
        return self


class HandMIM(SelfDistillation):
    """Student, EMA teacher and pixel decoder; terms `pose`, `patch`, `recon` (and `koleo`)."""

    name = "handmim"
    cfg: HandMIMConfig

    def __init__(self, cfg: HandMIMConfig, vit: VitConfig, views: ViewConfig) -> None:
        """Build both networks; the teacher starts as a copy of the student.

        Raises:
            ValueError: views and backbone disagree on the image size, or the grid does not suit
                the masks or the decoder.
        """
        super().__init__(cfg, vit, views, head_l2=cfg.head_l2, prototypes=cfg.patch_prototypes)
        self.class_center = Center(cfg.latent_dim, cfg.center_momentum)
        self.patch_center = Center(cfg.patch_prototypes or cfg.latent_dim, cfg.center_momentum)
        self.layers, self.decoder = _decoder(cfg, self.student.vit)
        self.loss_weights: Mapping[str, float] = {
            "pose": cfg.pose_weight,
            "patch": cfg.patch_weight,
            "recon": cfg.recon_weight,
        } | ({"koleo": cfg.koleo_weight} if cfg.koleo_weight else {})

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """L_pose (eq. 6), L_patch (eq. 7) and L_recon (eq. 9), unweighted."""
        seen = self._see(batch, self.layers)
        terms = {"recon": self._recon(seen)}
        with torch.autocast(seen.mask.device.type, enabled=False):
            terms |= {"pose": self._pose(seen, step), "patch": self._patch(seen, step)}
            if self.cfg.koleo_weight:
                first, second = seen.student.cls.unflatten(0, (2, -1))
                terms["koleo"] = (koleo_loss(first) + koleo_loss(second)) / 2
        return terms

    def compile_networks(self) -> None:
        """Compile the transformers, heads and decoder; views, masks and targets stay eager."""
        super().compile_networks()
        if self.decoder is not None:
            self.decoder.compile()

    def _pose(self, seen: MaskedStep, step: int) -> Tensor:
        """Class tokens: teacher of one view against student of the other, as key points."""
        student = self._aligned(self.student.head(seen.student.cls), seen.views, "student")
        with torch.no_grad():
            teacher = self._aligned(self.teacher.head(seen.teacher.cls), seen.views, "teacher")
        temperature = self._temperature(self.cfg.class_temperature, step)
        targets = self._targets("class", self.class_center, teacher, temperature, None)
        self._move_center(self.class_center, teacher)
        return cross_view_loss(
            targets.unflatten(0, (2, -1)),
            student.unflatten(0, (2, -1)),
            self.cfg.student_temperature,
        )

    def _aligned(
        self, latents: Tensor, views: ViewPair, network: Literal["student", "teacher"]
    ) -> Tensor:
        side = views.images.shape[-1]
        if self.cfg.align == "none" or (self.cfg.align == "relative" and network == "teacher"):
            return latents
        if self.cfg.align == "both":
            matrices, size = views.matrices, views.source_size
        else:
            matrices, size = between_views(views.matrices), (side, side)
        return pose_aware_alignment(
            latents, matrices.flatten(0, 1), (side, side), size, self.cfg.coordinates
        )

    def _patch(self, seen: MaskedStep, step: int) -> Tensor:
        """Patch tokens: the teacher saw what was hidden from the student in the same view."""
        if self.cfg.patch_tokens == "masked":
            index, weights = gather_masked(seen.mask, self.masks.most_masked(len(seen.mask)))
            picked = [seen.student.patches, seen.teacher.patches]
            student, teacher = (tokens.flatten(0, 1)[index] for tokens in picked)
        else:
            student, teacher = (
                seen.student.patches.flatten(0, 1),
                seen.teacher.patches.flatten(0, 1),
            )
            weights = torch.full_like(student[:, 0], 1 / len(student), dtype=torch.float32)
        with torch.no_grad():
            teacher_logits = self.teacher.logits(teacher)
        temperature = self._temperature(self.cfg.patch_temperature, step)
        targets = self._targets("patch", self.patch_center, teacher_logits, temperature, weights)
        self._move_center(self.patch_center, teacher_logits, weights)
        logits = self.student.logits(student)
        return patch_loss(targets, logits, weights, self.cfg.student_temperature)

    def _recon(self, seen: MaskedStep) -> Tensor:
        """Hidden pixels that show the photo, against the view the student did not see."""
        target = seen.views.images.flatten(0, 1)
        if self.decoder is None:
            return target.new_zeros(())
        patch = self.student.vit.patch_size
        if self.cfg.recon_target == "patch_norm":
            target = normalize_patches(target, patch)
        counted = patches_to_pixels(seen.mask, patch) & seen.views.inside.flatten(0, 1)
        return masked_pixel_loss(self.decoder(seen.student.layers), target, counted)


def _decoder(
    cfg: HandMIMConfig, vit: VisionTransformer
) -> tuple[tuple[int, ...], PixelDecoder | None]:
    """The pixel decoder and the layers it reads; none where its term has no weight."""
    if cfg.recon_weight == 0:
        return (), None
    layers = cfg.decoder_layers or fused_layers(vit.depth, num_stages(vit.patch_size))
    if len(layers) != num_stages(vit.patch_size) or max(layers) > vit.depth:
        raise ValueError(
            f"decoder_layers {layers}: patches of {vit.patch_size} px need "
            f"{num_stages(vit.patch_size)} layers, counted from 1 to {vit.depth}"
        )
    decoder = PixelDecoder(
        vit.embed_dim, vit.patch_size, cfg.decoder_width, cfg.decoder_kernel, cfg.decoder_order
    )
    return tuple(layers), decoder
