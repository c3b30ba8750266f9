"""A codebook learnt by moving averages instead of gradients (van den Oord et al. 2017)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, distributed, nn


class Quantized(NamedTuple):
    """Quantised latents.

    Attributes:
        codes: the nearest codes; straight-through gradient to the latents.
        ids: rows of the codes in the codebook.
        commitment: mean squared distance to the codes, with a gradient only to the latents.
        perplexity: exp of the entropy of the codes' use in this batch, 1 to the number of codes.
        active: share of the codes that this batch uses.
    """

    codes: Float[Tensor, "batch tokens width"]
    ids: Int[Tensor, "batch tokens"]
    commitment: Float[Tensor, ""]
    perplexity: Float[Tensor, ""]
    active: Float[Tensor, ""]


class Codebook(nn.Module):
    """Nearest-code quantisation whose codes are moving averages of the latents they stand for.

    MaskHand (arXiv 2412.13393), section 3.1, VQ-MANO: latents take the Euclidean nearest code;
    codes follow moving averages, and those out of use are reset, as in T2M-GPT (Zhang et al. 2023):
    the first training batch fills the codebook; count and sum of each code's latents decay by
    `decay` a step; a code whose count falls below `threshold` becomes a random latent of the batch.

    Deviation: T2M-GPT keeps the count and sum of a replaced code, so that it is replaced in every
    step until it has about 1 / (1 - decay) latents; ours is reset to a count of `threshold`, so
    one latent per step keeps it.

    All state is in buffers and changes only in training mode, as a function of the latents and
    torch's global generator: a resumed run continues bit-equal. No step waits for the device. With
    several ranks, counts and sums are totals, and replacements come from all ranks.

    Args:
        num_codes: rows of the codebook.
        width: of a code.
        decay: of counts and sums, in [0, 1).
        threshold: latents per step, as a moving average, below which a code is replaced.
    """

    embeddings: Float[Tensor, "codes width"]
    counts: Float[Tensor, " codes"]
    sums: Float[Tensor, "codes width"]
    filled: Float[Tensor, ""]

    def __init__(
        self, num_codes: int, width: int, decay: float = 0.99, threshold: float = 1.0
    ) -> None:
        super().__init__()
        self.decay, self.threshold = decay, threshold
        self.register_buffer("embeddings", torch.randn(num_codes, width) / width**0.5)
        self.register_buffer("counts", torch.zeros(num_codes))
        self.register_buffer("sums", torch.zeros(num_codes, width))
        self.register_buffer("filled", torch.zeros(()))  # a float: gloo cannot send booleans

    def forward(self, latents: Float[Tensor, "batch tokens width"]) -> Quantized:
        """Quantise; in training mode also update the codes, after they were used."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            rows = latents.detach().flatten(0, 1)
            replacements = self._draw(rows) if self.training else None
            if replacements is not None:
                self._fill(replacements)
            ids = self.nearest(rows)
            codes = self.embeddings[ids].unflatten(0, latents.shape[:2])
            counts = torch.zeros_like(self.counts).index_add_(0, ids, torch.ones_like(rows[:, 0]))
            if replacements is not None:
                counts = _over_ranks(counts)
                self._follow(rows, ids, counts, replacements)
            share = counts / counts.sum()
            return Quantized(
                codes=latents + (codes - latents).detach(),
                ids=ids.unflatten(0, latents.shape[:2]),
                commitment=(latents - codes).square().mean(),
                perplexity=torch.special.entr(share).sum().exp(),
                active=(counts > 0).float().mean(),
            )

    def nearest(self, rows: Float[Tensor, "rows width"]) -> Int[Tensor, " rows"]:
        """The code of least Euclidean distance to each row."""
        offset = self.embeddings.square().sum(1) / 2
        return torch.addmm(-offset, rows, self.embeddings.mT).argmax(1)

    @torch.no_grad()
    def _draw(self, rows: Tensor) -> Float[Tensor, "codes width"]:
        """A random latent of this batch for every code, from all ranks in turn."""
        codes, width = self.embeddings.shape
        chosen = rows[torch.randperm(len(rows), device=rows.device)[:codes]]
        if len(chosen) < codes:
            chosen = chosen.repeat(-(-codes // len(chosen)), 1)[:codes]
            chosen = chosen + torch.randn_like(chosen) * (0.01 / width**0.5)
        if distributed.is_available() and distributed.is_initialized():
            turn = torch.arange(codes, device=rows.device) % distributed.get_world_size()
            chosen = _over_ranks(chosen * (turn == distributed.get_rank())[:, None])
        return chosen

    @torch.no_grad()
    def _fill(self, first: Tensor) -> None:
        """Initialise the codes with `first`, only once, without waiting for the device."""
        done = self.filled > 0
        for buffer, start in (
            (self.embeddings, first),
            (self.sums, first * self.threshold),
            (self.counts, torch.full_like(self.counts, self.threshold)),
        ):
            buffer.copy_(torch.where(done, buffer, start))
        self.filled.fill_(1.0)

    @torch.no_grad()
    def _follow(self, rows: Tensor, ids: Tensor, counts: Tensor, replacements: Tensor) -> None:
        """Update the averages and the codes; replace codes out of use."""
        sums = _over_ranks(torch.zeros_like(self.sums).index_add_(0, ids, rows))
        counts = self.counts * self.decay + counts * (1 - self.decay)
        sums = self.sums * self.decay + sums * (1 - self.decay)
        alive = counts >= self.threshold
        self.counts.copy_(counts.where(alive, torch.full_like(counts, self.threshold)))
        self.sums.copy_(sums.where(alive[:, None], replacements * self.threshold))
        self.embeddings.copy_(self.sums / self.counts[:, None])


def _over_ranks(total: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(total)
    return total


def code_likeness(embeddings: Float[Tensor, "codes width"]) -> Float[Tensor, "codes codes"]:
    """Similarity of codes: 1 of a code with itself, falling with distance.

    exp(-d^2 / 2 h^2), h the median distance between nearest codes: codes within the codebook's
    resolution are nearly the same pose. Where data are dense, a codebook has many near-equal codes
    that share a network's probability, so the probability of a single code would be low for just
    the most common poses.
    """
    distances = torch.cdist(embeddings.float(), embeddings.float())
    others = distances + torch.diag(torch.full_like(distances[0], torch.inf))
    resolution = others.min(dim=1).values.median().clamp(min=1e-12)
    return torch.exp(-0.5 * (distances / resolution).square())
