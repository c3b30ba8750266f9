"""Self-distillation on masked views, shared by iBOT and HandMIM.

Two views of every photo, a student that sees them with patches hidden, and a teacher, its moving
average, that sees them whole. Subclasses decide which tokens are compared, and how.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from hand_pipeline.data.batch import Batch, ImageBatch
from hand_pipeline.data.views import ViewConfig, ViewPair, ViewSampler
from hand_pipeline.losses.collapse import feature_spread, target_health
from hand_pipeline.methods.self_distillation.config import SelfDistillationConfig
from hand_pipeline.methods.self_distillation.distillation import Center
from hand_pipeline.methods.self_distillation.masking import MaskSampler
from hand_pipeline.methods.self_distillation.token_encoder import TokenEncoder
from hand_pipeline.models.projection_head import ProjectionHead, Prototypes
from hand_pipeline.models.vit import VisionTransformer, VitConfig, VitOutput, build_vit
from hand_pipeline.training.ema import freeze, update_teacher
from hand_pipeline.training.method import Pretraining
from hand_pipeline.training.schedules import cosine, linear


class MaskedStep(NamedTuple):
    """Inputs of one step's loss terms; views are stacked, first views first."""

    views: ViewPair
    mask: Bool[Tensor, "views patches"]
    student: VitOutput
    teacher: VitOutput


class SelfDistillation(Pretraining):
    """Student and EMA teacher over two masked views; a subclass computes the terms.

    Args:
        cfg: the method's options.
        vit: backbone of both networks; the teacher never drops paths.
        views: how views are drawn.
        head_l2: unit-length latents.
        prototypes: number of prototypes of each encoder; 0: none.

    Raises:
        ValueError: views and backbone disagree on the image size, or the grid does not suit the
            masks.
    """

    cfg: SelfDistillationConfig

    def __init__(
        self,
        cfg: SelfDistillationConfig,
        vit: VitConfig,
        views: ViewConfig,
        *,
        head_l2: bool,
        prototypes: int,
    ) -> None:
        super().__init__()
        if vit.image_size != views.image_size:
            raise ValueError(
                f"the backbone takes {vit.image_size} px, views have {views.image_size} px; "
                "give both the same image_size"
            )

        def encoder(network: VisionTransformer) -> TokenEncoder:
            head = ProjectionHead(
                network.embed_dim,
                cfg.head_hidden_dim,
                cfg.latent_dim,
                l2=head_l2,
                full_precision=cfg.head_full_precision,
            )
            codes = Prototypes(cfg.latent_dim, prototypes) if prototypes else None
            return TokenEncoder(network, head, codes)

        self.cfg, self.configs = cfg, {"cfg": cfg, "vit": vit, "views": views}
        self.student = encoder(build_vit(vit, masking=True))
        plain = {"init": "random", "drop_path": 0.0, "gradient_checkpointing": False}
        self.teacher = encoder(build_vit(vit.model_copy(update=plain)))
        update_teacher(self.teacher, self.student, momentum=0.0)
        freeze(self.teacher)
        self.sampler = ViewSampler(views)
        self.masks = MaskSampler(cfg.mask_ratio, self.student.vit.grid_size)
        self._monitors: dict[str, Tensor] = {}

    def after_step(self, step: int) -> None:
        """Move the teacher towards the student."""
        momentum = cosine(step, self.total_steps, *self.cfg.ema_momentum)
        update_teacher(self.teacher, self.student, momentum)

    def start_left(self, total_steps: int) -> float:
        """Product of the momenta: what the teacher, which is exported, keeps of its first weights.

        Nothing else of the start is in it but through the student, which leaves it as it learns.
        """
        return _momenta_product(total_steps, *self.cfg.ema_momentum)

    def start_advice(self, total_steps: int, most: float) -> str:
        """The largest first momentum that would do."""
        low, high = 0.0, self.cfg.ema_momentum[0]
        for _ in range(20):
            middle = (low + high) / 2
            enough = _momenta_product(total_steps, middle, self.cfg.ema_momentum[1]) <= most
            low, high = (middle, high) if enough else (low, middle)
        start = math.floor(low * 1000) / 1000
        return f"let ema_momentum start at {start:g} or less, "

    def monitors(self) -> dict[str, Tensor]:
        """Signs of collapse in the last `losses` call.

        `mask_ratio`: share of hidden patches. `feature_std`: `feature_spread` of the teacher's
        class tokens. `class_*`, `patch_*`: `target_health` of the teacher's targets.
        """
        return dict(self._monitors)

    def train(self, mode: bool = True) -> "SelfDistillation":
        """Train or evaluate; the teacher never drops paths."""
        super().train(mode)
        self.teacher.eval()
        return self

    def compile_networks(self) -> None:
        """Compile the transformers and heads; views, masks and targets stay eager."""
        for encoder in (self.student, self.teacher):
            encoder.vit.compile()
            encoder.head.compile()

    def backbone_state(self) -> dict[str, Tensor]:
        """The teacher's ViT weights, as in iBOT, by timm's parameter names."""
        return self.teacher.vit.backbone_state()

    def _see(self, batch: Batch, layers: tuple[int, ...] = ()) -> MaskedStep:
        """Draw views and masks and encode them; sets the monitors that need no targets.

        Raises:
            TypeError: a batch of labelled hands.
        """
        if not isinstance(batch, ImageBatch):
            name = type(self).__name__
            raise TypeError(f"{name} needs an ImageBatch, got {type(batch).__name__}")
        views = self.sampler(batch.images)
        images = views.images.flatten(0, 1)
        mask = self.masks(len(images), images.device)
        student = self.student.vit(images, mask, layers)
        with torch.no_grad():
            teacher = self.teacher.vit(images)
        self._monitors = {
            "mask_ratio": mask.float().mean(),
            "feature_std": feature_spread(teacher.cls),
        }
        return MaskedStep(views, mask, student, teacher)

    def _temperature(self, bounds: tuple[float, float], step: int) -> float:
        warmup = round(self.cfg.temperature_warmup * self.total_steps)
        return linear(step, warmup, *bounds)

    def _targets(
        self, name: str, center: Center, logits: Tensor, temperature: float, weights: Tensor | None
    ) -> Tensor:
        """Teacher probabilities; sets their monitors, and does not change the centre."""
        targets = center.targets(logits, temperature)
        reference = torch.log_softmax(center.value / temperature, dim=-1)
        self._monitors |= target_health(name, targets, weights, reference)
        return targets

    def _move_center(self, center: Center, logits: Tensor, weights: Tensor | None = None) -> None:
        """Update the centre by the teacher's logits, in training; rows of weight 0 do not count."""
        if self.training and torch.is_grad_enabled():
            center.update(logits, None if weights is None else (weights > 0).float())


def _momenta_product(total_steps: int, start: float, final: float) -> float:
    """Product of `cosine` over all steps."""
    progress = np.arange(total_steps) / total_steps
    return float(np.prod(final + (start - final) * 0.5 * (1 + np.cos(np.pi * progress))))
