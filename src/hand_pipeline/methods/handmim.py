"""HandMIM: masked image modelling on hand photos with pose-aware alignment.

arXiv 2307.16061 and Front. Phys. 12:1515842. No code was published: what the papers leave open is
iBOT's default where there is one, and an option here where there are two readings.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.data.batch import Batch, ImageBatch
from hand_pipeline.data.masking import MaskConfig, MaskSampler, gather_masked
from hand_pipeline.data.views import ViewConfig, ViewPair, ViewSampler
from hand_pipeline.losses.collapse import feature_spread, target_health
from hand_pipeline.losses.distillation import (
    Center,
    cross_view_loss,
    koleo_loss,
    patch_loss,
    sinkhorn_targets,
)
from hand_pipeline.losses.masked_pixel import (
    masked_pixel_loss,
    normalize_patches,
    patches_to_pixels,
)
from hand_pipeline.models.pixel_decoder import PixelDecoder, fused_layers, num_stages
from hand_pipeline.models.pose_alignment import Coordinates, between_views, pose_aware_alignment
from hand_pipeline.models.projection_head import ProjectionHead, Prototypes
from hand_pipeline.models.vit import VisionTransformer, VitConfig, VitOutput, build_vit
from hand_pipeline.training.ema import freeze, update_teacher
from hand_pipeline.training.method import Method
from hand_pipeline.training.schedules import cosine, linear


class HandMIMConfig(MaskConfig):
    """HandMIM's own numbers; masks are `MaskConfig`'s fields, views have their own config.

    Where a field names a reading, the default is the one that fits the papers' text best.
    """

    total_steps: int = Field(
        86_400, gt=0, description="steps of the run; the caller fills it in (paper: 400 epochs)"
    )
    pose_weight: float = Field(1.0, ge=0, description="of L_pose (HandMIM eq. 10)")
    patch_weight: float = Field(1.0, ge=0, description="of L_patch (HandMIM eq. 10)")
    recon_weight: float = Field(1.0, ge=0, description="of L_recon (HandMIM eq. 10); 0: no decoder")
    koleo_weight: float = Field(0.0, ge=0, description="of DINOv2's spread of class tokens, 0.1")

    latent_dim: int = Field(256, gt=1, description="128 pseudo key points x 2 (HandMIM 3.2)")
    head_hidden_dim: int = Field(2048, gt=0, description="iBOT")
    head_layers: int = Field(3, gt=0, description="iBOT")
    head_l2: bool = Field(
        False, description="unit-length latents: iBOT and PeCLR do, HandMIM names no norm"
    )
    head_full_precision: bool = Field(
        True, description="hidden layers in float32 too; False: autocast for them, last layer not"
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

    targets: Literal["center", "sinkhorn"] = Field(
        "center", description="against collapse: DINO's and iBOT's centre, or DINOv2's balancing"
    )
    center_momentum: float = Field(0.9, ge=0, lt=1, description="iBOT")
    student_temperature: float = Field(0.1, gt=0, description="iBOT; HandMIM: 'constant'")
    class_temperature: tuple[float, float] = Field((0.04, 0.04), description="teacher's; iBOT")
    patch_temperature: tuple[float, float] = Field((0.04, 0.07), description="teacher's; iBOT")
    temperature_warmup: float = Field(
        0.075, ge=0, le=1, description="share of the run from first to second; iBOT: 30 of 400"
    )
    ema_momentum: tuple[float, float] = Field(
        (0.996, 1.0), description="of the teacher, first and last step, cosine between; iBOT"
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
    finetune_weights: Literal["teacher", "student"] = Field(
        "teacher", description="which network fine-tuning starts from; iBOT: the teacher"
    )

    @model_validator(mode="after")
    def _is_possible(self) -> "HandMIMConfig":
        if self.latent_dim % 2:
            raise ValueError(f"latent_dim is key points times 2, so even, got {self.latent_dim}")
        if min(*self.class_temperature, *self.patch_temperature) <= 0:
            raise ValueError("teacher temperatures must be above 0")
        if not all(0 <= m <= 1 for m in self.ema_momentum):
            raise ValueError(f"ema_momentum must lie in [0, 1], got {self.ema_momentum}")
        return self


class Branch(nn.Module):
    """What student and teacher both have: a ViT, the shared head, prototypes if wanted."""

    def __init__(self, cfg: HandMIMConfig, vit: VisionTransformer) -> None:
        super().__init__()
        self.vit = vit
        self.head = ProjectionHead(
            vit.embed_dim,
            cfg.head_hidden_dim,
            cfg.latent_dim,
            cfg.head_layers,
            l2=cfg.head_l2,
            full_precision=cfg.head_full_precision,
        )
        self.prototypes = (
            Prototypes(cfg.latent_dim, cfg.patch_prototypes) if cfg.patch_prototypes else None
        )

    def patch_logits(self, tokens: Float[Tensor, "tokens width"]) -> Float[Tensor, "tokens logits"]:
        """Logits of patch tokens: their latents, or cosines to the prototypes."""
        latents = self.head(tokens)
        return latents if self.prototypes is None else self.prototypes(latents)


class _Step(NamedTuple):
    """What one step's terms are computed from; views are stacked, first views first."""

    views: ViewPair
    mask: Bool[Tensor, "views patches"]
    student: VitOutput
    teacher: VitOutput


class HandMIM(Method):
    """Student, EMA teacher and pixel decoder; terms `pose`, `patch`, `recon` (and `koleo`)."""

    def __init__(self, cfg: HandMIMConfig, vit: VitConfig, views: ViewConfig) -> None:
        """Build both networks; the teacher starts as a copy of the student.

        Raises:
            ValueError: views and backbone disagree on the image size, or the grid does not suit
                the masks or the decoder.
        """
        super().__init__()
        if vit.image_size != views.image_size:
            raise ValueError(
                f"the backbone takes {vit.image_size} px, views have {views.image_size} px; "
                "give both the same image_size"
            )
        self.cfg = cfg
        self.student = Branch(cfg, build_vit(vit, masking=True))
        plain = {"init": "random", "drop_path": 0.0, "gradient_checkpointing": False}
        self.teacher = Branch(cfg, build_vit(vit.model_copy(update=plain)))
        update_teacher(self.teacher, self.student, momentum=0.0)
        freeze(self.teacher)
        self.class_center = Center(cfg.latent_dim, cfg.center_momentum)
        self.patch_center = Center(cfg.patch_prototypes or cfg.latent_dim, cfg.center_momentum)
        backbone = self.student.vit
        self.layers, self.decoder = _decoder(cfg, backbone)
        self.sampler = ViewSampler(views)
        self.masks = MaskSampler(cfg, backbone.grid_size)
        self.loss_weights: Mapping[str, float] = {
            "pose": cfg.pose_weight,
            "patch": cfg.patch_weight,
            "recon": cfg.recon_weight,
        } | ({"koleo": cfg.koleo_weight} if cfg.koleo_weight else {})
        self._monitors: dict[str, Tensor] = {}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """L_pose (eq. 6), L_patch (eq. 7) and L_recon (eq. 9), unweighted."""
        if not isinstance(batch, ImageBatch):
            raise TypeError(f"HandMIM learns from an ImageBatch, got {type(batch).__name__}")
        views = self.sampler(batch.images)
        images = views.images.flatten(0, 1)
        mask = self.masks(len(images), images.device)
        student = self.student.vit(images, mask, self.layers)
        with torch.no_grad():
            teacher = self.teacher.vit(images)
        seen = _Step(views, mask, student, teacher)
        self._monitors = {
            "mask_ratio": mask.float().mean(),
            "feature_std": feature_spread(teacher.cls),
        }
        terms = {"recon": self._recon(seen)}
        with torch.autocast(images.device.type, enabled=False):
            terms |= {"pose": self._pose(seen, step), "patch": self._patch(seen, step)}
            if self.cfg.koleo_weight:
                first, second = student.cls.unflatten(0, (2, -1))
                terms["koleo"] = (koleo_loss(first) + koleo_loss(second)) / 2
        return terms

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student."""
        start, final = self.cfg.ema_momentum
        momentum = cosine(step, self.cfg.total_steps, start, final)
        update_teacher(self.teacher, self.student, momentum)

    def monitors(self) -> dict[str, Tensor]:
        """Signs of collapse, of the last `losses`.

        `mask_ratio`: share of hidden patches. `feature_std`: `feature_spread` of the teacher's
        class tokens. `class_*`, `patch_*`: `target_health` of the teacher's targets.
        """
        return dict(self._monitors)

    def train(self, mode: bool = True) -> "HandMIM":
        """Train or evaluate; the teacher never drops paths."""
        super().train(mode)
        self.teacher.eval()
        return self

    def compile_networks(self) -> None:
        """Compile the transformers, heads and decoder; views, masks and targets stay eager."""
        for branch in (self.student, self.teacher):
            branch.vit.compile()
            branch.head.compile()
        if self.decoder is not None:
            self.decoder.compile()

    def backbone_state(self) -> dict[str, Tensor]:
        """The ViT weights fine-tuning starts from, under timm's names."""
        network = self.teacher if self.cfg.finetune_weights == "teacher" else self.student
        return network.vit.backbone_state()

    def _pose(self, seen: _Step, step: int) -> Tensor:
        """Class tokens: teacher of one view against student of the other, as key points."""
        student = self._aligned(self.student.head(seen.student.cls), seen.views, "student")
        with torch.no_grad():
            teacher = self._aligned(self.teacher.head(seen.teacher.cls), seen.views, "teacher")
        temperature = self._temperature(self.cfg.class_temperature, step)
        targets = self._targets("class", self.class_center, teacher, temperature, None)
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

    def _patch(self, seen: _Step, step: int) -> Tensor:
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
            teacher_logits = self.teacher.patch_logits(teacher)
        temperature = self._temperature(self.cfg.patch_temperature, step)
        targets = self._targets("patch", self.patch_center, teacher_logits, temperature, weights)
        logits = self.student.patch_logits(student)
        return patch_loss(targets, logits, weights, self.cfg.student_temperature)

    def _recon(self, seen: _Step) -> Tensor:
        """Hidden pixels that show the photo, against the view the student did not see."""
        target = seen.views.images.flatten(0, 1)
        if self.decoder is None:
            return target.new_zeros(())
        patch = self.student.vit.patch_size
        if self.cfg.recon_target == "patch_norm":
            target = normalize_patches(target, patch)
        counted = patches_to_pixels(seen.mask, patch) & seen.views.inside.flatten(0, 1)
        return masked_pixel_loss(self.decoder(seen.student.layers), target, counted)

    def _temperature(self, bounds: tuple[float, float], step: int) -> float:
        warmup = round(self.cfg.temperature_warmup * self.cfg.total_steps)
        return linear(step, warmup, *bounds)

    def _targets(
        self, name: str, center: Center, logits: Tensor, temperature: float, weights: Tensor | None
    ) -> Tensor:
        """Teacher probabilities; records their health and moves the centre."""
        if self.cfg.targets == "sinkhorn":
            targets = sinkhorn_targets(logits, temperature, weights)
        else:
            targets = center.targets(logits, temperature)
        reference = F.log_softmax(center.value / temperature, dim=-1)
        self._monitors |= target_health(name, targets, weights, reference)
        if self.training and torch.is_grad_enabled():
            center.update(logits, None if weights is None else (weights > 0).float())
        return targets


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
