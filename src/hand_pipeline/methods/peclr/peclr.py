"""PeCLR: equivariant contrastive learning (Spurr et al. 2021, arXiv 2106.05953).

SimCLR wants two views of a photo to have the same latent vector. For poses that is wrong if a view
is rotated or shifted, so PeCLR undoes rotation and translation on the latents before it compares
them: with z~ = t^-1(z) for the view's own t, and cosines over the 2 N views of a batch,

    L = mean over i of -log exp(z~_i . z~_j / T) / sum over k != i of exp(z~_i . z~_k / T)   (eq. 1)

It stays invariant to colours. HandMIM's table compares with it on the same ViT and data.

Deviation: PeCLR cuts crops about labelled joints, rotates by up to 45 degrees and has colour
factors of its own; we take HandMIM's views, so that the baseline differs only in the method.
Deviation: PeCLR's optimizer is Adam within LARS, weight decay 1e-6, gradients of 16 batches of 128;
we train every pretraining with the same optimizer and batch.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.batch import Batch, ImageBatch
from hand_pipeline.data.views import ViewConfig, ViewPair, ViewSampler
from hand_pipeline.losses.collapse import feature_spread
from hand_pipeline.methods.peclr.contrastive import nt_xent_loss, other_views, pair_cosines
from hand_pipeline.methods.peclr.equivariance import undo_view
from hand_pipeline.models.image_encoder import ResNetConfig, build_encoder
from hand_pipeline.models.projection_head import ContrastiveHead
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.method import Pretraining


class PeclrConfig(Config):
    """PeCLR's own options."""

    retired: ClassVar[Mapping[str, Any]] = {
        "contrast_weight": 1.0,
    }  # fmt: skip

    temperature: float = Field(0.5, gt=0, description="PeCLR")
    head_hidden_dim: int = Field(512, gt=0, description="PeCLR")
    latent_dim: int = Field(128, gt=1, multiple_of=2, description="64 points x 2 (PeCLR)")
    undo_rotation: bool = Field(True, description="on the latents (PeCLR eq. 3)")
    undo_translation: bool = Field(True, description="on the latents; without both: SimCLR")
    resnet: ResNetConfig | None = Field(
        None, description="a ResNet instead of the ViT, as in PeCLR's paper; null: the ViT"
    )


class PeCLR(Pretraining):
    """An encoder and a projection head; the term is `contrast`.

    Args:
        cfg: PeCLR's options.
        vit: the backbone; with `cfg.resnet` only its image size is used.
        views: how views are drawn; HandMIM's.

    Raises:
        ValueError: views and backbone disagree on the image size.
    """

    name = "peclr"

    def __init__(self, cfg: PeclrConfig, vit: VitConfig, views: ViewConfig) -> None:
        super().__init__()
        if vit.image_size != views.image_size:
            raise ValueError(
                f"the backbone takes {vit.image_size} px, views have {views.image_size} px; "
                "give both the same image_size"
            )
        self.cfg, self.configs = cfg, {"cfg": cfg, "vit": vit, "views": views}
        self.encoder = build_encoder(vit, cfg.resnet)
        self.head = ContrastiveHead(self.encoder.embed_dim, cfg.head_hidden_dim, cfg.latent_dim)
        self.sampler = ViewSampler(views)
        self.loss_weights = {"contrast": 1.0}
        self._monitors: dict[str, Tensor] = {}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """NT-Xent of the aligned latents (eq. 1), unweighted.

        Raises:
            TypeError: a batch of labelled hands.
        """
        if not isinstance(batch, ImageBatch):
            raise TypeError(f"PeCLR needs an ImageBatch, got {type(batch).__name__}")
        views = self.sampler(batch.images)
        features = self.encoder(views.images.flatten(0, 1)).cls
        first, second = self.align(self.head(features), views).unflatten(0, (2, -1))
        self._watch(features, first, second)
        return {"contrast": nt_xent_loss(first, second, self.cfg.temperature)}

    def align(self, latents: Float[Tensor, "views latent"], views: ViewPair) -> Tensor:
        """Latents of all views, first views first, with rotation and translation undone."""
        side = views.images.shape[-1]
        return undo_view(
            latents,
            views.matrices.flatten(0, 1),
            (side, side),
            views.source_size,
            self.cfg.undo_rotation,
            self.cfg.undo_translation,
        )

    def monitors(self) -> dict[str, Tensor]:
        """Monitors of the last `losses` call.

        `feature_std`: `feature_spread` of the encoder's features, 0 if they have collapsed.
        `pair_cosine`: mean cosine of two views of one photo. `retrieval`: share of views whose
        nearest view is of the same photo.
        """
        return dict(self._monitors)

    def backbone_state(self) -> dict[str, Tensor]:
        """The weights fine-tuning starts from, by timm's parameter names."""
        return self.encoder.backbone_state()

    @torch.no_grad()
    def _watch(self, features: Tensor, first: Tensor, second: Tensor) -> None:
        cosines = pair_cosines(first, second)
        others = other_views(len(first), first.device)
        self._monitors = {
            "feature_std": feature_spread(features),
            "pair_cosine": cosines.gather(1, others[:, None]).mean(),
            "retrieval": (cosines.argmax(1) == others).float().mean(),
        }
