"""Confidence-guided iterative sampling of pose tokens.

MaskHand (arXiv 2412.13393), section 3; the rule is MaskGIT's (Chang et al. 2022): all tokens start
masked, each pass draws all masked ones, the surest are kept for good, the others are masked again,
fewer in every pass by a cosine schedule.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.config import Config

_ROUNDING = 1e-6  # cos(pi / 3) is a little above 1/2, and ceil must not see that

Predictor = Callable[[Tensor, Tensor | None], Tensor]
"""(ids (rows, tokens), positions (rows, chosen) or None) to logits (rows, chosen or all, codes)."""


class SamplingConfig(Config):
    """How tokens are drawn; the defaults are the paper's benchmark: T = 5, the likeliest code."""

    iterations: int = Field(5, ge=1, description="passes T; MaskHand: 5 (1 and 3 in an ablation)")
    temperature: float = Field(
        0.0, ge=0, description="0: the likeliest code; not printed, MMM's and MoMask's samples: 1"
    )
    top_k: int | None = Field(
        None, ge=1, description="draw from so many codes; MaskHand's text: 5 %, unconditional: 100"
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="draw from the fewest codes of this probability, after top_k"
    )
    hypotheses: int = Field(1, ge=1, description="hands drawn for each image")

    @model_validator(mode="after")
    def _hypotheses_can_differ(self) -> "SamplingConfig":
        if self.hypotheses > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.hypotheses} hypotheses at temperature 0 are all the same; "
                "set temperature above 0 (for example 1) or hypotheses to 1"
            )
        return self


class Vocabulary(NamedTuple):
    """What the tokens of a hand are, for whoever draws them.

    Attributes:
        num_tokens: of a hand.
        mask_id: stands for [MASK] in the ids.
        codebook: also give expectations under it; None: ids alone.
        likeness: how much one code can stand for another, 0 to 1 (`codebook.code_likeness`): a
            token is as sure as all codes like it are together. None: each code for itself, as
            MaskGIT has it.
    """

    num_tokens: int
    mask_id: int
    codebook: Float[Tensor, "codes dim"] | None = None
    likeness: Float[Tensor, "codes codes"] | None = None


class SampledTokens(NamedTuple):
    """Hands as tokens, with what the network thinks of them.

    Attributes:
        ids: codes, none masked.
        probabilities: of each code, or of one like it, when it was drawn for the last time, under
            the network's own distribution (no temperature, no restriction).
        codes: expectation of the codebook at that time, where it was asked for; else None.
    """

    ids: Int64[Tensor, "batch hypotheses tokens"]
    probabilities: Float[Tensor, "batch hypotheses tokens"]
    codes: Float[Tensor, "batch hypotheses tokens dim"] | None

    @property
    def log_probability(self) -> Float[Tensor, "batch hypotheses"]:
        """Log of the product over a hand's tokens."""
        return self.probabilities.log().sum(-1)

    @property
    def confidence(self) -> Float[Tensor, "batch hypotheses"]:
        """Geometric mean over a hand's tokens, 0..1.

        Deviation: the paper's figures show a percentage without its formula; this is the product
        freed from the number of tokens, so it ranks as the product does.
        """
        return self.probabilities.log().mean(-1).exp()

    def ranked(self) -> "SampledTokens":
        """The hypotheses of each image, the surest first."""
        order = self.log_probability.argsort(dim=1, descending=True, stable=True)[..., None]

        def sort(values: Tensor) -> Tensor:
            index = order.reshape(*order.shape[:2], *[1] * (values.ndim - 2))
            return values.gather(1, index.expand_as(values))

        codes = None if self.codes is None else sort(self.codes)
        return SampledTokens(sort(self.ids), sort(self.probabilities), codes)


def mask_counts(num_tokens: int, iterations: int) -> list[int]:
    """Tokens that are masked when each pass starts: ceil(cos(pi t / 2T) L), t = 0 to T - 1.

    64 tokens and T = 5 give 64, 61, 52, 38, 20; after the last pass none is masked.

    Raises:
        ValueError: a number below 1.
    """
    if num_tokens < 1 or iterations < 1:
        raise ValueError(
            f"need at least 1 token and 1 iteration, got {num_tokens} and {iterations}"
        )
    shares = (math.cos(math.pi * t / (2 * iterations)) for t in range(iterations))
    return [max(1, math.ceil(share * num_tokens - _ROUNDING)) for share in shares]


def expected_codes(
    logits: Float[Tensor, "*batch codes"], codebook: Float[Tensor, "codes dim"]
) -> Float[Tensor, "*batch dim"]:
    """Mean code under the logits, softmax(logits) x codebook.

    MaskHand's expectation-approximated differential sampling: training's gradient reaches the
    logits through it, and at test time it is the estimate of least squared error.
    """
    return logits.softmax(-1).to(codebook.dtype) @ codebook


@torch.no_grad()
def sample_tokens(
    predict: Predictor,
    vocabulary: Vocabulary,
    batch: int,
    cfg: SamplingConfig,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> SampledTokens:
    """Draw hands by confidence-guided iterative sampling.

    A pass of T draws the masked tokens, and `mask_counts` says how many of them, the least sure,
    are masked again; kept tokens are never masked nor drawn again. The first pass is the same for
    all hypotheses of an image, so the network sees each image once there and the draws differ.
    Nothing in the loop waits for the device.

    Args:
        predict: the network with its context, for example
            `lambda ids, positions: synthesizer(ids, context, positions)`. Rows are one an image in
            the first pass, then one a hypothesis, those of an image in succession. Put the network
            in eval mode: dropout is not switched off here.
        vocabulary: number of tokens, and what is to be said of them.
        batch: images.
        cfg: passes, temperature, restrictions, hypotheses.
        device: of the network.
        generator: of that device; None: torch's global one. Not used at temperature 0.
    """
    num_tokens, mask_id, codebook, likeness = vocabulary
    rows = batch * cfg.hypotheses
    ids = torch.full((rows, num_tokens), mask_id, device=device)
    probabilities = torch.zeros(rows, num_tokens, device=device)
    codes = None if codebook is None else codebook.new_zeros(rows, num_tokens, codebook.shape[1])
    positions = torch.arange(num_tokens, device=device).expand(rows, -1)
    drawn_probabilities = probabilities
    for iteration, count in enumerate(mask_counts(num_tokens, cfg.iterations)):
        if iteration == 0:
            logits, repeats = predict(ids[:: cfg.hypotheses], None), cfg.hypotheses
        else:
            # of the tokens just drawn the least sure; those kept before are not among them
            unsure = drawn_probabilities.topk(count, dim=1, largest=False, sorted=False).indices
            positions = positions.gather(1, unsure)
            ids = ids.scatter(1, positions, mask_id)
            logits, repeats = predict(ids, positions), 1
        logits = logits.float()
        drawn = draw(logits, cfg, generator, repeats)
        drawn_probabilities = _probability_of(drawn, logits, likeness)
        ids = ids.scatter(1, positions, drawn)
        probabilities = probabilities.scatter(1, positions, drawn_probabilities)
        if codebook is not None and codes is not None:
            means = expected_codes(logits, codebook).repeat_interleave(repeats, dim=0)
            codes = codes.scatter(1, positions[..., None].expand_as(means), means)
    shape = (batch, cfg.hypotheses)
    return SampledTokens(
        ids.unflatten(0, shape),
        probabilities.unflatten(0, shape),
        None if codes is None else codes.unflatten(0, shape),
    )


def draw(
    logits: Float[Tensor, "rows chosen codes"],
    cfg: SamplingConfig,
    generator: torch.Generator | None = None,
    repeats: int = 1,
) -> Int64[Tensor, "rows_times_repeats chosen"]:
    """Codes drawn from logits, `repeats` independent ones for each row, in succession.

    At temperature 0 the likeliest code. Otherwise by the inverse of the cumulative distribution:
    one uniform number a token, so that hundreds of hypotheses share one distribution.
    """
    if cfg.temperature == 0:
        return logits.argmax(-1).repeat_interleave(repeats, dim=0)
    candidates: Tensor | None = None
    if cfg.top_k is not None:
        logits, candidates = logits.topk(min(cfg.top_k, logits.shape[-1]), dim=-1)
    elif cfg.top_p is not None:
        logits, candidates = logits.sort(dim=-1, descending=True)
    probabilities = (logits / cfg.temperature).softmax(-1)
    cumulative = probabilities.cumsum(-1)
    total, last = cumulative[..., -1:], probabilities.shape[-1] - 1
    if cfg.top_p is not None:
        # candidates are sorted: the first whose sum reaches top_p, so never none
        kept = (cumulative - probabilities < cfg.top_p).sum(-1, keepdim=True) - 1
        total = cumulative.gather(-1, kept)
    else:
        kept = torch.full_like(total, last, dtype=torch.int64)
    shape = (*logits.shape[:2], repeats)
    uniform = torch.rand(shape, device=logits.device, generator=generator)
    chosen = torch.searchsorted(cumulative, uniform * total, right=True).minimum(kept)
    if candidates is not None:
        chosen = candidates.gather(-1, chosen)
    return chosen.transpose(1, 2).flatten(0, 1)


def _probability_of(
    ids: Int64[Tensor, "rows_times_repeats chosen"],
    logits: Float[Tensor, "rows chosen codes"],
    likeness: Float[Tensor, "codes codes"] | None,
) -> Float[Tensor, "rows_times_repeats chosen"]:
    """Softmax probability of each id or of those like it, before temperature and restrictions."""
    rows, chosen = logits.shape[:2]
    index = ids.unflatten(0, (rows, -1)).transpose(1, 2)  # rows, chosen, repeats
    if likeness is not None:
        alike = (likeness[index] @ logits.softmax(-1)[..., None])[..., 0].clamp(max=1)
        return alike.transpose(1, 2).reshape(-1, chosen)
    log_probability = logits.gather(-1, index) - logits.logsumexp(-1, keepdim=True)
    return log_probability.exp().transpose(1, 2).reshape(-1, chosen)
