"""iBOT: masked image modelling by self-distillation (Zhou et al. 2022, arXiv 2111.07832).

HandMIM's nearest baseline. Both compare a student that sees views with hidden patches to an EMA
teacher that sees all; iBOT compares unaligned class tokens, as distributions over 8192 prototypes,
and reconstructs no pixels. With p_t = softmax((g_t - c) / T_t) of the teacher's cosines to the
prototypes, p_s = softmax(g_s / T_s), views u and v, and mask m:

    L_CLS = -1/2 [p_t(u) . log p_s(v) + p_t(v) . log p_s(u)]                          (eq. 3)
    L_MIM = -mean over u, v of sum_i m_i p_t(u_i) . log p_s(u_i) / sum_i m_i          (eq. 2)

Deviation: iBOT has flips and, in its best recipe, ten small crops; we take HandMIM's two views,
which have neither, so that the baseline differs only in the method.
Deviation: iBOT leaves about half of the views unmasked (ratio 0 or 0.3 +- 0.2); we mask each with
HandMIM's U[0.1, 0.5], for the same reason.
Deviation: iBOT leaves the prototypes out of the optimizer's first epoch; we stop their gradient
instead, which differs by the weight decay of lengths that the cosine does not see.
"""

import torch
from torch import Tensor

from hand_pipeline.data.batch import Batch
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.self_distillation.config import IbotConfig
from hand_pipeline.methods.self_distillation.distillation import Center, cross_view_loss, patch_loss
from hand_pipeline.methods.self_distillation.masking import gather_masked
from hand_pipeline.methods.self_distillation.student_teacher import MaskedStep, SelfDistillation
from hand_pipeline.methods.self_distillation.token_encoder import TokenEncoder
from hand_pipeline.models.projection_head import Prototypes
from hand_pipeline.models.vit import VitConfig


class Ibot(SelfDistillation):
    """Student and EMA teacher with prototypes; terms `class` and `patch`.

    Args:
        cfg: iBOT's options.
        vit: the backbone.
        views: how views are drawn; HandMIM's.

    Raises:
        ValueError: views and backbone disagree on the image size, or the grid does not suit the
            masks.
    """

    name = "ibot"
    cfg: IbotConfig

    def __init__(self, cfg: IbotConfig, vit: VitConfig, views: ViewConfig) -> None:
        super().__init__(cfg, vit, views, head_l2=True, prototypes=cfg.prototypes)
        self.class_center = Center(cfg.prototypes, cfg.center_momentum)
        self.patch_center = Center(cfg.prototypes, cfg.center_momentum)
        self.loss_weights = {"class": cfg.class_weight, "patch": cfg.patch_weight}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """L_CLS (eq. 3) and L_MIM (eq. 2), unweighted."""
        seen = self._see(batch)
        with torch.autocast(seen.mask.device.type, enabled=False):
            return {"class": self._class(seen, step), "patch": self._patch(seen, step)}

    def _class(self, seen: MaskedStep, step: int) -> Tensor:
        """Class tokens: teacher of one view against student of the other."""
        student = self._student_logits(self.student.head(seen.student.cls), step)
        with torch.no_grad():
            teacher = self.teacher.logits(seen.teacher.cls)
        temperature = self._temperature(self.cfg.class_temperature, step)
        targets = self._targets("class", self.class_center, teacher, temperature, None)
        self._move_center(self.class_center, teacher)
        return cross_view_loss(
            targets.unflatten(0, (2, -1)),
            student.unflatten(0, (2, -1)),
            self.cfg.student_temperature,
        )

    def _patch(self, seen: MaskedStep, step: int) -> Tensor:
        """Hidden patches: the teacher, which sees them, against the student, which does not."""
        index, weights = gather_masked(seen.mask, self.masks.most_masked(len(seen.mask)))
        student = self.student.head(seen.student.patches.flatten(0, 1)[index])
        everything = seen.teacher.patches.flatten(0, 1)
        with torch.no_grad():
            latents = self.teacher.head(everything)
            logits = _prototypes(self.teacher)(latents[index])
        temperature = self._temperature(self.cfg.patch_temperature, step)
        targets = self._targets("patch", self.patch_center, logits, temperature, weights)
        # cosines are linear in unit latents, so the mean's are the mean over all patches
        mean = latents.mean(0, keepdim=True)
        self._move_center(self.patch_center, _prototypes(self.teacher).of_unit(mean))
        return patch_loss(
            targets, self._student_logits(student, step), weights, self.cfg.student_temperature
        )

    def _student_logits(self, latents: Tensor, step: int) -> Tensor:
        """Cosines to the prototypes, whose gradient is 0 while they are frozen."""
        prototypes = _prototypes(self.student)
        if step >= round(self.cfg.freeze_prototypes * self.total_steps):
            return prototypes(latents)
        frozen = {name: p.detach() for name, p in prototypes.named_parameters()}
        logits = torch.func.functional_call(prototypes, frozen, (latents,))
        # Keep them in the graph: DDP waits for a gradient of every parameter.
        return logits + 0.0 * sum(p.sum() for p in prototypes.parameters())


def _prototypes(encoder: TokenEncoder) -> Prototypes:
    assert encoder.prototypes is not None  # built with them
    return encoder.prototypes
