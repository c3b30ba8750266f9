"""MaskHand's cross-attention head: hand shape and camera from the low-resolution map."""

from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.methods.maskhand.attention import Attention, FeedForward
from hand_pipeline.methods.maskhand.config import ShapeCameraHeadConfig

BETAS_WIDTH = 10
MEAN_CAMERA = (0.75, 0.0, 0.0)
"""Camera to which the head's output is added: scale in units of `crop_camera.SCALE_UNIT` half crops
per metre, and position in the crop, -1 to 1; our choice: a hand of 16 cm fills 60 % of its crop."""


class ShapeAndCamera(NamedTuple):
    """Output of the head.

    Attributes:
        betas: shape coefficients.
        camera: weak-perspective scale and position, in the units of `MEAN_CAMERA`.
    """

    betas: Float[Tensor, "batch 10"]
    camera: Float[Tensor, "batch 3"]


class ShapeCameraHead(nn.Module):
    """One query attends to the patch tokens; a linear layer turns it into an offset from the mean.

    MaskHand (arXiv 2412.13393), section 3 ("x-Attention head"); the wrist's rotation is among the
    pose tokens, so the head regresses only shape and camera.

    Deviation: HaMeR's query is a zero through a linear layer plus a position embedding, which is
    one learned vector; its self-attention over that single token is linear and is left out.

    Args:
        cfg: architecture.
        embed_dim: width of the patch tokens.
    """

    mean: Tensor

    def __init__(self, cfg: ShapeCameraHeadConfig, embed_dim: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(cfg.width) * 0.02)
        self.norms_cross = nn.ModuleList(nn.LayerNorm(cfg.width) for _ in range(cfg.depth))
        self.attentions = nn.ModuleList(
            Attention(cfg.width, cfg.heads, embed_dim, cfg.head_width, cfg.dropout)
            for _ in range(cfg.depth)
        )
        self.norms_feedforward = nn.ModuleList(nn.LayerNorm(cfg.width) for _ in range(cfg.depth))
        self.feedforwards = nn.ModuleList(
            FeedForward(cfg.width, cfg.feedforward_width, cfg.dropout) for _ in range(cfg.depth)
        )
        self.dropout = nn.Dropout(cfg.dropout)
        self.step = nn.Linear(cfg.width, BETAS_WIDTH + 3)
        nn.init.xavier_uniform_(self.step.weight, gain=0.01)  # starts at the mean hand, as HaMeR
        nn.init.zeros_(self.step.bias)
        mean = torch.tensor([0.0] * BETAS_WIDTH + list(MEAN_CAMERA))
        self.register_buffer("mean", mean)

    def forward(self, patches: Float[Tensor, "batch patches embed"]) -> ShapeAndCamera:
        """Shape and camera of the hand in each image, at least in float32."""
        token = self.query.expand(len(patches), 1, -1)
        attentions = cast("list[Attention]", self.attentions)
        for norm_cross, attention, norm_feedforward, feedforward in zip(
            self.norms_cross, attentions, self.norms_feedforward, self.feedforwards
        ):
            found = attention(norm_cross(token), attention.project_values(patches))
            token = token + self.dropout(found)
            token = token + self.dropout(feedforward(norm_feedforward(token)))
        state = self.mean + self.step(token[:, 0])
        return ShapeAndCamera(state[:, :BETAS_WIDTH], state[:, BETAS_WIDTH:])
