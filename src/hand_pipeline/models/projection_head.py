"""MLPs that map features to the latent space of self-supervision, and prototypes behind one."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ProjectionHead(nn.Module):
    """A multi-layer perceptron from tokens to latents, shared by class and patch tokens.

    iBOT's and DINO's head without its prototype layer: in -> 2048 -> 2048 -> 256, GELU, no norm,
    weights from a normal truncated at two standard deviations (0.02), biases 0. HandMIM's "shared
    MLP", whose output is read as 128 pseudo key points (section 3.2). Layers after a hidden one of
    another width than 2048 start with 0.02 * sqrt(2048 / width), so that latents start at the same
    scale; at 0.02 those of a narrow head are so small that all targets are uniform.

    The last layer always runs in float32, since differences of the latents are divided by
    temperatures of a few hundredths; with `full_precision` all layers do (fp16 in this head is the
    most reported cause of NaN in iBOT).
    """

    def __init__(
        self,
        in_dim: int,
        hidden_dim: int = 2048,
        out_dim: int = 256,
        l2: bool = False,
        full_precision: bool = True,
    ) -> None:
        """Build the head.

        Args:
            in_dim: token width.
            hidden_dim: width of the hidden layers.
            out_dim: latent width.
            l2: normalise the latents to unit length (iBOT does, HandMIM names no norm).
            full_precision: leave autocast for the hidden layers too.
        """
        super().__init__()
        widths = [in_dim, hidden_dim, hidden_dim]
        self.hidden = nn.Sequential(
            *(layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.GELU()))
        )
        self.last = nn.Linear(widths[-1], out_dim)
        self.l2 = l2
        self.full_precision = full_precision
        for index, layer in enumerate([*self.hidden, self.last]):
            if isinstance(layer, nn.Linear):
                _init_linear(layer, 0.02 if index == 0 else 0.02 * (2048 / hidden_dim) ** 0.5)

    def forward(self, tokens: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens latent"]:
        """Latents of any number of tokens, in float32."""
        if self.full_precision:
            with torch.autocast(tokens.device.type, enabled=False):
                hidden = self.hidden(tokens.float())
        else:
            hidden = self.hidden(tokens)
        with torch.autocast(tokens.device.type, enabled=False):
            latents = self.last(hidden.float())
            return F.normalize(latents, dim=-1) if self.l2 else latents


class Prototypes(nn.Module):
    """Cosine similarities of latents to learnt unit vectors: iBOT's last layer, weight norm 1.

    Written as a product of normalised tensors: the same function as iBOT's weight-normed linear
    layer with its gain frozen at 1, without the deprecated `weight_norm`.
    """

    def __init__(self, latent_dim: int, num_prototypes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_prototypes, latent_dim))
        nn.init.trunc_normal_(self.weight, std=0.02, a=-0.04, b=0.04)

    def forward(self, latents: Float[Tensor, "*tokens latent"]) -> Float[Tensor, "*tokens codes"]:
        """Cosines, in float32."""
        with torch.autocast(latents.device.type, enabled=False):
            return self.of_unit(F.normalize(latents.float(), dim=-1))

    def of_unit(self, unit: Float[Tensor, "*tokens latent"]) -> Float[Tensor, "*tokens codes"]:
        """The same of vectors as they are: linear, so that a mean's are the mean of all."""
        with torch.autocast(unit.device.type, enabled=False):
            return F.linear(unit, F.normalize(self.weight, dim=-1))


class ContrastiveHead(nn.Module):
    """PeCLR's: in -> 512 with batch norm and ReLU -> 128 without bias, in float32.

    Batch statistics are those of the device's own share of the batch.
    """

    def __init__(self, in_dim: int, hidden_dim: int = 512, out_dim: int = 128) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, hidden_dim)
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.last = nn.Linear(hidden_dim, out_dim, bias=False)

    def forward(self, features: Float[Tensor, "batch width"]) -> Float[Tensor, "batch latent"]:
        """Latents, of any length."""
        with torch.autocast(features.device.type, enabled=False):
            return self.last(F.relu(self.norm(self.hidden(features.float()))))


def _init_linear(layer: nn.Linear, std: float) -> None:
    nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
    nn.init.zeros_(layer.bias)
