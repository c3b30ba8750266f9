"""Confidence-guided iterative sampling of pose tokens.

MaskHand (arXiv 2412.13393), section 3; the rule is MaskGIT's (Chang et al. 2022): all tokens start
masked; each pass samples all masked ones, keeps the most confident for good and masks the others
again, fewer in every pass by a cosine schedule.

Tokens that are drawn need more care than the likeliest ones. Those of the first pass know nothing
of each other, and to keep the drawn codes of highest probability keeps those of the likeliest hand,
whatever was drawn: repeated drawing gives one hand. So where `temperature` is above 0 the first
pass keeps one token, at a random place, from which the others follow; the later ones rank by log
confidence plus MaskGIT's Gumbel noise, which falls linearly to 0 at the last pass. On a known joint
distribution of hands the draws then have its frequencies (`tests/methods/maskhand/test_sampling`).

Deviation: MaskHand's paper prints no noise; MaskGIT's first pass keeps as many as the cosine says.
Deviation: many hands of an image come from `branches` runs of the passes; those of one run differ
only in what the last pass draws. Each hand still has the distribution that it has alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from pydantic import Field, model_validator
from torch import Tensor

from hand_pipeline.config import Config

_ROUNDING = 1e-6  # math.cos(math.pi / 3) is a little above 1/2, which ceil would round up

Predictor = Callable[[Tensor, Tensor | None], Tensor]
"""(ids (rows, tokens), positions (rows, chosen) or None) to logits (rows, chosen or all, codes)."""


class SamplingConfig(Config):
    """How tokens are sampled; defaults as in the paper's benchmark: T = 5, the likeliest code."""

    iterations: int = Field(5, ge=1, description="passes T; MaskHand: 5 (1 and 3 in an ablation)")
    temperature: float = Field(
        0.0, ge=0, description="0: the likeliest code; not in the paper; MMM, MoMask sample at 1"
    )
    top_k: int | None = Field(
        None, ge=1, description="sample from the K likeliest codes; MaskHand: 5 % (text) or 100"
    )
    top_p: float | None = Field(
        None,
        gt=0,
        le=1,
        description="sample from the likeliest codes of this probability, after top_k",
    )
    choice_temperature: float = Field(
        4.5,
        ge=0,
        description="scale of the Gumbel noise on the log confidence by which drawn tokens are "
        "kept; without effect at temperature 0. MaskGIT's public code: 4.5; not in MaskHand's "
        "paper. 0: the most confident ones, which repeats the likeliest hand",
    )
    hypotheses: int = Field(1, ge=1, description="hands sampled per image")
    branches: int | None = Field(
        16,
        ge=1,
        description="runs of the passes per image at most; more hypotheses are further draws of "
        "the last pass of each, so they are alike in the tokens kept before. 100 hypotheses then "
        "need a sixth of the evaluations, and 5 % of their pairs share a run; up to 16 nothing "
        "changes. null: a run for each, as in the paper",
    )

    @property
    def noisy(self) -> bool:
        """Whether chance has a part in which tokens are kept."""
        return self.temperature > 0 and self.choice_temperature > 0

    @property
    def runs(self) -> int:
        """Runs of the passes per image; a single pass is shared by all hypotheses anyway."""
        if self.branches is None or self.iterations == 1:
            return self.hypotheses
        return min(self.branches, self.hypotheses)

    def times(self, hypotheses: int) -> "SamplingConfig":
        """The same for so many hands per image.

        Raises:
            ValueError: several hands at temperature 0.
        """
        return SamplingConfig(**{**self.model_dump(), "hypotheses": hypotheses})

    @model_validator(mode="after")
    def _hypotheses_can_differ(self) -> "SamplingConfig":
        if self.hypotheses > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.hypotheses} hypotheses at temperature 0 are all the same; "
                "set temperature above 0 (for example 1) or hypotheses to 1"
            )
        return self


class SampledTokens(NamedTuple):
    """Hands as tokens, with the network's probabilities.

    Attributes:
        ids: codes, none masked.
        probabilities: of each code, or of similar ones together, in the pass that sampled it last,
            under the network's own distribution (no temperature, no restriction).
        codes: expectation of the codebook in that pass; None if no codebook was given.
    """

    ids: Int64[Tensor, "batch hypotheses tokens"]
    probabilities: Float[Tensor, "batch hypotheses tokens"]
    codes: Float[Tensor, "batch hypotheses tokens dim"] | None

    @property
    def log_probability(self) -> Float[Tensor, "batch hypotheses"]:
        """Log of the product of probabilities over a hand's tokens."""
        return self.probabilities.log().sum(-1)

    @property
    def confidence(self) -> Float[Tensor, "batch hypotheses"]:
        """Geometric mean over a hand's tokens, 0..1.

        Deviation: the paper's figures show a percentage without a formula; this mean ranks like the
        product, but does not depend on the number of tokens.
        """
        return self.probabilities.log().mean(-1).exp()

    def ranked(self) -> "SampledTokens":
        """The hypotheses of each image, the most confident first."""
        order = self.log_probability.argsort(dim=1, descending=True, stable=True)[..., None]

        def sort(values: Tensor) -> Tensor:
            index = order.reshape(*order.shape[:2], *[1] * (values.ndim - 2))
            return values.gather(1, index.expand_as(values))

        codes = None if self.codes is None else sort(self.codes)
        return SampledTokens(sort(self.ids), sort(self.probabilities), codes)


def mask_counts(num_tokens: int, iterations: int, one_first: bool = False) -> list[int]:
    """Number of masked tokens at the start of each pass: ceil(cos(pi t / 2T) L), t = 0 to T - 1.

    64 tokens and T = 5 give 64, 61, 52, 38, 20; after the last pass none is masked.

    Args:
        num_tokens: L.
        iterations: T.
        one_first: the first pass keeps one token: 64, 63, 52, 38, 20.

    Raises:
        ValueError: an argument is below 1.
    """
    if num_tokens < 1 or iterations < 1:
        raise ValueError(
            f"need at least 1 token and 1 iteration, got {num_tokens} and {iterations}"
        )
    shares = (math.cos(math.pi * t / (2 * iterations)) for t in range(iterations))
    counts = [max(1, math.ceil(share * num_tokens - _ROUNDING)) for share in shares]
    if one_first and iterations > 1:
        rest = max(1, num_tokens - 1)
        counts[1:] = [rest, *(min(rest, count) for count in counts[2:])]
    return counts


def expected_codes(
    logits: Float[Tensor, "*batch codes"], codebook: Float[Tensor, "codes dim"]
) -> Float[Tensor, "*batch dim"]:
    """Mean code under the logits, softmax(logits) x codebook.

    MaskHand's expectation-approximated differential sampling: in training the gradient reaches the
    logits through it, and at test time it is the estimate of least squared error.
    """
    return logits.softmax(-1).to(codebook.dtype) @ codebook


@torch.no_grad()
def sample_tokens(
    predict: Predictor,
    masked: Int64[Tensor, "batch tokens"],
    cfg: SamplingConfig,
    *,
    generator: torch.Generator | None = None,
    codebook: Float[Tensor, "codes dim"] | None = None,
    likeness: Float[Tensor, "codes codes"] | None = None,
    read_all: bool = False,
) -> SampledTokens:
    """Sample hands by confidence-guided iterative sampling.

    Each of T passes samples the masked tokens; the least confident, as many as `mask_counts` says,
    are masked again (`_merit`). Kept tokens do not change until `read_all`. In the first pass all
    hypotheses of an image share one evaluation of the network; only their samples differ. Where
    there are more of them than `branches`, several share each evaluation of the last pass, too.
    Nothing waits for the device.

    Args:
        predict: the network with its context, for example
            `lambda ids, positions: synthesizer(ids, context, positions)`. It gets one row per image
            in the first pass, later one per run (`cfg.runs`), by image. Put the network in eval
            mode before: dropout is not switched off here.
        masked: ids with all tokens masked, one row per image, on the network's device.
        cfg: passes, temperature, restrictions, hypotheses.
        generator: on that device; None: torch's global one. Not used at temperature 0.
        codebook: if given, also return expectations under it.
        likeness: similarity of codes, 0 to 1 (`codebook.code_likeness`): the confidence of a token
            is the total probability of similar codes. None: only of the code, as in MaskGIT.
        read_all: the last pass reads all positions, so that it corrects tokens kept before; for a
            network that was trained on its own choices (`MaskHandConfig.self_conditioning`), and
            without effect where tokens are drawn: together with the others they are one hand.
    """
    runs, last = cfg.runs, cfg.iterations - 1
    draws = math.ceil(cfg.hypotheses / runs)  # of each run in the last pass
    ids = masked = masked.repeat_interleave(runs, dim=0)
    rows, num_tokens = ids.shape
    probabilities = torch.zeros(rows, num_tokens, device=ids.device)
    codes = None if codebook is None else codebook.new_zeros(rows, num_tokens, codebook.shape[1])
    positions = everywhere = torch.arange(num_tokens, device=ids.device).expand(rows, -1)
    drawn_probabilities = probabilities
    for iteration, count in enumerate(mask_counts(num_tokens, cfg.iterations, cfg.noisy)):
        if iteration == 0:
            logits, repeats = predict(ids[::runs], None), runs
        else:
            # only tokens of the last pass can be masked again; those kept before stay
            merit = _merit(drawn_probabilities, iteration, cfg, generator)
            unsure = merit.topk(count, dim=1, largest=False, sorted=False).indices
            positions = positions.gather(1, unsure)
            ids = ids.scatter(1, positions, masked)
            whole = read_all and cfg.temperature == 0 and iteration == last
            logits, repeats = predict(ids, None if whole else positions), 1
            positions = everywhere if whole else positions
        if iteration == last and draws > 1:
            repeats = draws
            ids, probabilities, positions = (
                state.repeat_interleave(draws, dim=0) for state in (ids, probabilities, positions)
            )
            codes = None if codes is None else codes.repeat_interleave(draws, dim=0)
        logits = logits.float()
        drawn = draw(logits, cfg, generator, repeats)
        drawn_probabilities = probability_of(drawn, logits, likeness)
        ids = ids.scatter(1, positions, drawn)
        probabilities = probabilities.scatter(1, positions, drawn_probabilities)
        if codebook is not None and codes is not None:
            means = expected_codes(logits, codebook).repeat_interleave(repeats, dim=0)
            codes = codes.scatter(1, positions[..., None].expand_as(means), means)

    def by_image(values: Tensor) -> Tensor:
        """One hypothesis of each run before the second of any, so that none is left out."""
        each = values.unflatten(0, (-1, runs, draws)).transpose(1, 2)
        return each.flatten(1, 2)[:, : cfg.hypotheses]

    return SampledTokens(
        by_image(ids), by_image(probabilities), None if codes is None else by_image(codes)
    )


def _merit(
    probabilities: Float[Tensor, "rows chosen"],
    passes: int,
    cfg: SamplingConfig,
    generator: torch.Generator | None,
) -> Float[Tensor, "rows chosen"]:
    """What the tokens of the last of so many passes are kept by, the largest first.

    log p + choice_temperature (1 - passes / T) g with Gumbel noise g (MaskGIT's public code). After
    the first pass only g: which code was drawn then must not decide whether it stays.
    """
    if not cfg.noisy:
        return probabilities
    uniform = torch.rand(probabilities.shape, device=probabilities.device, generator=generator)
    noise = -torch.log(-torch.log(uniform))
    if passes == 1:
        return noise
    scale = cfg.choice_temperature * (1 - passes / cfg.iterations)
    return probabilities.log() + scale * noise


def draw(
    logits: Float[Tensor, "rows chosen codes"],
    cfg: SamplingConfig,
    generator: torch.Generator | None = None,
    repeats: int = 1,
) -> Int64[Tensor, "rows_times_repeats chosen"]:
    """Sample codes from logits, `repeats` successive independent rows for each row.

    At temperature 0 the likeliest code. Otherwise by inverting the cumulative distribution with a
    uniform number per token, so that hundreds of hypotheses share one distribution.
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


def probability_of(
    ids: Int64[Tensor, "rows_times_repeats chosen"],
    logits: Float[Tensor, "rows chosen codes"],
    likeness: Float[Tensor, "codes codes"] | None,
) -> Float[Tensor, "rows_times_repeats chosen"]:
    """Softmax probability of each id or of similar ones, before temperature and restrictions."""
    rows, chosen = logits.shape[:2]
    index = ids.unflatten(0, (rows, -1)).transpose(1, 2)  # rows, chosen, repeats
    if likeness is not None:
        alike = (likeness[index] @ logits.softmax(-1)[..., None])[..., 0].clamp(max=1)
        return alike.transpose(1, 2).reshape(-1, chosen)
    log_probability = logits.gather(-1, index) - logits.logsumexp(-1, keepdim=True)
    return log_probability.exp().transpose(1, 2).reshape(-1, chosen)
