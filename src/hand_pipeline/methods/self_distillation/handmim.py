"""HandMIM: masked image modelling on hand photos with pose-aware alignment.

arXiv 2307.16061 and Front. Phys. 12:1515842. No code was published: what the papers leave open
follows iBOT, or is an option here if there are several readings.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from hand_pipeline.data.batch import Batch, ImageBatch
from hand_pipeline.data.views import ViewConfig, ViewPair
from hand_pipeline.methods.self_distillation.config import HandMIMConfig
from hand_pipeline.methods.self_distillation.distillation import (
    Center,
    cross_view_loss,
    patch_loss,
)
from hand_pipeline.methods.self_distillation.masked_pixel import (
    masked_pixel_loss,
    patches_to_pixels,
)
from hand_pipeline.methods.self_distillation.masking import gather_masked
from hand_pipeline.methods.self_distillation.pixel_decoder import (
    PixelDecoder,
    fused_layers,
    num_stages,
)
from hand_pipeline.methods.self_distillation.pose_alignment import (
    between_views,
    pose_aware_alignment,
)
from hand_pipeline.methods.self_distillation.student_teacher import MaskedStep, SelfDistillation
from hand_pipeline.models.vit import VisionTransformer, VitConfig


class HandMIM(SelfDistillation):
    """Student, EMA teacher and pixel decoder; terms `pose`, `patch`, `recon`."""

    name = "handmim"
    cfg: HandMIMConfig

    def __init__(self, cfg: HandMIMConfig, vit: VitConfig, views: ViewConfig) -> None:
        """Build both networks; the teacher starts as a copy of the student.

        Raises:
            ValueError: views and backbone disagree on the image size, or the grid does not suit
                the masks or the decoder.
        """
        super().__init__(cfg, vit, views, head_l2=False, prototypes=cfg.patch_prototypes)
        self.class_center = Center(cfg.latent_dim, cfg.center_momentum)
        self.patch_center = Center(cfg.patch_prototypes or cfg.latent_dim, cfg.center_momentum)
        self.layers, self.decoder = _decoder(cfg, self.student.vit)
        self.loss_weights: Mapping[str, float] = {
            "pose": cfg.pose_weight,
            "patch": cfg.patch_weight,
            "recon": cfg.recon_weight,
        }

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """L_pose (eq. 6), L_patch (eq. 7) and L_recon (eq. 9), unweighted."""
        seen = self._see(batch, self.layers)
        terms = {"recon": self._recon(seen)}
        with torch.autocast(seen.mask.device.type, enabled=False):
            return terms | {"pose": self._pose(seen, step), "patch": self._patch(seen, step)}

    def compile_networks(self) -> None:
        """Compile the transformers, heads and decoder; views, masks and targets stay eager."""
        super().compile_networks()
        if self.decoder is not None:
            self.decoder.compile()

    def draw(self, batch: Batch) -> dict[str, Image.Image]:
        """What the student rebuilds of hidden patches, and the teacher's aligned key points."""
        from hand_pipeline.methods.self_distillation.figures import draw_key_points, draw_rebuilt

        seen = self._see(batch, self.layers)
        assert isinstance(batch, ImageBatch)  # `_see` has checked it
        photos = batch.images.float() / 255
        latents = self._aligned(self.teacher.head(seen.teacher.cls), seen.views, "teacher")
        pictures = {}
        if self.cfg.align == "both":
            pictures["key_points"] = draw_key_points(photos, latents, self.cfg.coordinates)
        if self.decoder is not None:
            rebuilt = self.decoder(seen.student.layers)
            hidden = patches_to_pixels(seen.mask, self.student.vit.patch_size)
            pictures["rebuilt"] = draw_rebuilt(photos, seen.views, hidden, rebuilt)
        return pictures

    def _pose(self, seen: MaskedStep, step: int) -> Tensor:
        """L_pose: class tokens as key points, teacher of one view against student of the other."""
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
        """L_patch: patch tokens of the same view, which the teacher sees unmasked."""
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
        """L_recon: hidden pixels inside the photo, against the unmasked view."""
        target = seen.views.images.flatten(0, 1)
        if self.decoder is None:
            return target.new_zeros(())
        patch = self.student.vit.patch_size
        counted = patches_to_pixels(seen.mask, patch) & seen.views.inside.flatten(0, 1)
        return masked_pixel_loss(self.decoder(seen.student.layers), target, counted)


def _decoder(
    cfg: HandMIMConfig, vit: VisionTransformer
) -> tuple[tuple[int, ...], PixelDecoder | None]:
    """The ViT layers to decode and the pixel decoder; none if `recon_weight` is 0."""
    if cfg.recon_weight == 0:
        return (), None
    layers = fused_layers(vit.depth, num_stages(vit.patch_size))
    return layers, PixelDecoder(vit.embed_dim, vit.patch_size, cfg.decoder_width)
