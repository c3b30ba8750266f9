"""Schedule and confidence-guided sampling, on a stub and on the true network."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hand_pipeline.methods.maskhand.config import ContextSynthesizerConfig
from hand_pipeline.methods.maskhand.context_synthesizer import ContextSynthesizer
from hand_pipeline.methods.maskhand.sampling import (
    SampledTokens,
    SamplingConfig,
    _merit,
    draw,
    expected_codes,
    mask_counts,
    sample_tokens,
)

TOKENS, CODES, MASK = 16, 30, 30


class Stub:
    """Logits that depend on all ids, so that every earlier choice matters; records its inputs."""

    def __init__(self, scale: float = 3.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.own = scale * torch.randn(TOKENS, CODES, generator=generator)
        self.influence = 0.5 * torch.randn(CODES + 1, CODES, generator=generator)
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def logits(self, ids: Tensor) -> Tensor:
        return self.own + self.influence[ids].mean(1, keepdim=True)

    def __call__(self, ids: Tensor, positions: Tensor | None) -> Tensor:
        self.seen.append((ids.clone(), None if positions is None else positions.clone()))
        logits = self.logits(ids)
        if positions is None:
            return logits
        return logits.gather(1, positions[..., None].expand(-1, -1, CODES))


def masked(batch: int) -> Tensor:
    return torch.full((batch, TOKENS), MASK)


def sampled(stub: Stub, batch: int = 2, seed: int = 0, **settings) -> SampledTokens:
    generator = torch.Generator().manual_seed(seed)
    return sample_tokens(stub, masked(batch), SamplingConfig(**settings), generator=generator)


@pytest.fixture(scope="module")
def network() -> ContextSynthesizer:
    torch.manual_seed(0)
    cfg = ContextSynthesizerConfig(width=16, heads=2, points=2, layers=2, feedforward_width=32)
    network = ContextSynthesizer(cfg, TOKENS, CODES, 24).eval()
    with torch.no_grad():
        network.logits.weight.mul_(20)  # untrained logits are almost even; make choices clear
    return network.requires_grad_(False)


@pytest.fixture(scope="module")
def photos() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(2, 16, 24, generator=generator),
        torch.rand(2, 21, 2, generator=generator) * 2 - 1,
    )


@pytest.mark.parametrize(
    ("tokens", "iterations", "counts"),
    [
        (64, 5, [64, 61, 52, 38, 20]),
        (64, 1, [64]),
        (64, 3, [64, 56, 32]),  # cos(pi / 3) in floating point is above 1/2
        (16, 2, [16, 12]),
        (2, 4, [2, 2, 2, 1]),
        (1, 3, [1, 1, 1]),
    ],
)
def test_the_schedule_is_the_cosine_rounded_up(tokens, iterations, counts):
    assert mask_counts(tokens, iterations) == counts


def test_where_tokens_are_drawn_the_first_pass_keeps_one():
    assert mask_counts(64, 5, one_first=True) == [64, 63, 52, 38, 20]
    assert mask_counts(64, 1, one_first=True) == [64]
    assert mask_counts(16, 20, one_first=True)[:4] == [16, 15, 15, 15]  # never more again
    assert mask_counts(1, 2, one_first=True) == [1, 1]


@pytest.mark.parametrize(("tokens", "iterations"), [(0, 5), (64, 0)])
def test_a_schedule_of_nothing_is_refused(tokens, iterations):
    with pytest.raises(ValueError, match="at least 1"):
        mask_counts(tokens, iterations)


PRIORS = torch.tensor([0.22, 0.19, 0.16, 0.13, 0.11, 0.08, 0.06, 0.05])
"""Of eight hands; each has a code of its own at every one of 64 places."""
SLIP = 1e-3


def know_the_hands(ids: Tensor, positions: Tensor | None) -> Tensor:
    """The exact conditional of a token, by Bayes: hand ~ PRIORS, each token off it by SLIP."""
    codes = len(PRIORS)
    likelihood = torch.full((codes, codes), SLIP / (codes - 1)).fill_diagonal_(1 - SLIP)
    shown = torch.nn.functional.one_hot(ids, codes + 1)[..., :codes].sum(1).float()
    posterior = (PRIORS.log() + shown @ likelihood.log()).softmax(-1)
    logits = (posterior @ likelihood).log()[:, None]
    return logits.expand(-1, (ids if positions is None else positions).shape[1], -1)


@pytest.mark.parametrize("iterations", [5, 16])
def test_draws_recover_a_known_joint_distribution(iterations):
    """Whole hands, in the frequencies of their priors: chi-square with 7 degrees, p > 0.001."""
    settings = {"iterations": iterations, "temperature": 1.0, "hypotheses": 4000}
    cfg = SamplingConfig(**settings, branches=None)  # the test is for independent draws
    start = torch.full((1, 64), len(PRIORS))
    generator = torch.Generator().manual_seed(0)
    ids = sample_tokens(know_the_hands, start, cfg, generator=generator).ids[0]
    check_frequencies(ids)


def check_frequencies(ids: Tensor) -> None:
    uses = torch.nn.functional.one_hot(ids, len(PRIORS)).float().mean(1)
    assert uses.amax(1).mean() > 0.995  # all tokens of a hand are one hand's, but for slips
    drawn = torch.bincount(uses.argmax(1), minlength=len(PRIORS))
    expected = len(ids) * PRIORS
    assert ((drawn - expected).square() / expected).sum() < 24.3


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_hand_of_a_branch_has_the_distribution_that_it_has_alone(which):
    """One hand of each of 4,000 images, so that the draws are independent."""
    cfg = SamplingConfig(temperature=1.0, hypotheses=3, branches=1)
    start = torch.full((4000, 64), len(PRIORS))
    generator = torch.Generator().manual_seed(0)
    check_frequencies(sample_tokens(know_the_hands, start, cfg, generator=generator).ids[:, which])


def test_branches_take_little_of_the_variance_between_hypotheses():
    """Only pairs of one branch are alike: 5.3 % of the pairs of 100 hypotheses in 16 branches."""
    start = torch.full((200, 64), len(PRIORS))
    differ = []
    for branches in (None, 16):
        cfg = SamplingConfig(temperature=1.0, hypotheses=100, branches=branches)
        generator = torch.Generator().manual_seed(0)
        ids = sample_tokens(know_the_hands, start, cfg, generator=generator).ids
        uses = torch.nn.functional.one_hot(ids, len(PRIORS)).float().flatten(2)
        alike = (uses @ uses.mT / 64).sum((1, 2)) - 100  # without a hand and itself
        differ.append(1 - alike.mean() / (100 * 99))
    assert 0.93 < differ[1] / differ[0] < 0.98  # the worst case: one token tells the hand


def test_hypotheses_of_a_branch_share_evaluations_and_kept_tokens():
    stub = Stub()
    settings = {"iterations": 3, "temperature": 1.0, "hypotheses": 7, "branches": 3}
    result = sampled(stub, batch=2, **settings)
    assert [len(ids) for ids, _ in stub.seen] == [2, 6, 6]
    assert result.ids.shape == (2, 7, TOKENS)
    kept = stub.seen[-1][0].unflatten(0, (2, 3))
    for hypothesis in range(7):
        shown = kept[:, hypothesis % 3]  # the first three are of different branches
        ours = result.ids[:, hypothesis]
        assert (ours[shown != MASK] == shown[shown != MASK]).all()
    assert (result.ids[:, 0] != result.ids[:, 3]).any(1).all()


def test_as_many_branches_as_hypotheses_are_independent_draws():
    settings = {"temperature": 1.0, "hypotheses": 5}
    alone, branched = (sampled(Stub(), **settings, branches=count) for count in (None, 16))
    assert torch.equal(alone.ids, branched.ids)


def test_without_noise_on_the_choice_draws_are_the_likeliest_hand():
    """The rule as printed, which is why there is noise."""
    cfg = SamplingConfig(temperature=1.0, choice_temperature=0, hypotheses=200)
    start = torch.full((1, 64), len(PRIORS))
    generator = torch.Generator().manual_seed(0)
    ids = sample_tokens(know_the_hands, start, cfg, generator=generator).ids[0]
    assert (ids == 0).float().mean() > 0.99


def test_the_noise_falls_linearly_and_the_first_choice_is_by_chance_alone():
    """Which of two tokens is kept, the surer one or not, against the softmax that Gumbel gives."""
    cfg = SamplingConfig(temperature=1.0, iterations=4, choice_temperature=3.0)
    probabilities = torch.tensor([0.8, 0.1]).expand(40_000, -1)
    for passes, scale in ((1, math.inf), (2, 1.5), (3, 0.75)):
        merit = _merit(probabilities, passes, cfg, torch.Generator().manual_seed(passes))
        kept = (merit[:, 0] > merit[:, 1]).float().mean().item()
        assert kept == pytest.approx(8 ** (1 / scale) / (1 + 8 ** (1 / scale)), abs=0.01)
    still = SamplingConfig(choice_temperature=3.0)
    assert torch.equal(_merit(probabilities, 1, still, None), probabilities)


def test_one_argmax_pass_is_one_shot(network, photos):
    context = network.encode_context(*photos)
    result = sample_tokens(
        lambda ids, positions: network(ids, context, positions),
        network.masked(2), SamplingConfig(iterations=1),
    )  # fmt: skip
    logits = network(torch.full((2, TOKENS), network.mask_id), context)
    probabilities, ids = logits.softmax(-1).max(-1)
    torch.testing.assert_close(result.ids[:, 0], ids)
    torch.testing.assert_close(result.probabilities[:, 0], probabilities)


@pytest.mark.parametrize(
    "settings", [{}, {"temperature": 1.0}, {"temperature": 1.0, "hypotheses": 4}], ids=str
)
def test_a_cached_context_gives_exactly_what_recomputing_it_gives(network, photos, settings):
    context = network.encode_context(*photos)

    def cached(ids: Tensor, positions: Tensor | None) -> Tensor:
        return network(ids, context, positions)

    def recomputed(ids: Tensor, positions: Tensor | None) -> Tensor:
        return network(ids, network.encode_context(*photos), positions)

    results = [
        sample_tokens(
            predict, network.masked(2), SamplingConfig(**settings),
            generator=torch.Generator().manual_seed(0),
            codebook=torch.eye(CODES),
        )
        for predict in (cached, recomputed)
    ]  # fmt: skip
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("iterations", [1, 3, 5, 20])
def test_all_tokens_are_filled_and_as_many_masked_as_the_schedule_says(iterations, temperature):
    stub = Stub()
    result = sampled(stub, iterations=iterations, temperature=temperature)
    assert ((result.ids >= 0) & (result.ids < CODES)).all()
    assert ((result.probabilities > 0) & (result.probabilities <= 1)).all()
    masked = [(ids == MASK).sum(1).unique().tolist() for ids, _ in stub.seen]
    assert masked == [[count] for count in mask_counts(TOKENS, iterations, temperature > 0)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_kept_tokens_never_change_and_are_the_surest_of_those_drawn(temperature):
    stub = Stub()
    result = sampled(stub, iterations=3, temperature=temperature)
    final = result.ids[:, 0]
    for (ids, _), (later, _) in zip(stub.seen, stub.seen[1:]):
        kept = ids != MASK
        assert (later[kept] == ids[kept]).all()
        assert (final[kept] == ids[kept]).all()
    if temperature == 0:  # the first pass by hand: the second one still knows the surest
        probabilities = stub.logits(stub.seen[0][0]).softmax(-1)
        known = stub.seen[1][0] != MASK
        sure = probabilities.amax(-1)
        for row in range(len(known)):
            assert sure[row][known[row]].min() >= sure[row][~known[row]].max()


def test_the_score_is_the_networks_probability_of_the_code_when_it_was_drawn():
    stub = Stub()
    result = sampled(stub, iterations=4, temperature=2.0, top_k=5)
    ids, probabilities = result.ids[:, 0], result.probabilities[:, 0]
    expected = torch.zeros_like(probabilities)
    for before, _ in stub.seen:
        own = stub.logits(before).softmax(-1).gather(-1, ids[..., None])[..., 0]
        expected = torch.where(before == MASK, own, expected)
    torch.testing.assert_close(probabilities, expected)


def test_confidence_is_the_geometric_mean_and_the_product_of_the_probabilities():
    probabilities = torch.tensor([[[0.5, 0.5, 0.125, 0.5]]])
    result = SampledTokens(torch.zeros(1, 1, 4, dtype=torch.int64), probabilities, None)
    torch.testing.assert_close(result.log_probability, torch.tensor([[math.log(1 / 64)]]))
    torch.testing.assert_close(result.confidence, torch.tensor([[64**-0.25]]))


def test_ranking_sorts_hypotheses_by_confidence_and_keeps_them_whole():
    stub = Stub()
    result = sample_tokens(
        stub, masked(2), SamplingConfig(temperature=1.0, hypotheses=6),
        generator=torch.Generator().manual_seed(0), codebook=torch.eye(CODES),
    )  # fmt: skip
    ranked = result.ranked()
    assert (ranked.confidence.diff(dim=1) <= 0).all()
    order = result.confidence.argsort(dim=1, descending=True)
    for image in range(2):
        for ours, theirs in zip(ranked, result):
            torch.testing.assert_close(ours[image], theirs[image, order[image]])


def test_a_seed_repeats_and_another_does_not():
    settings = {"temperature": 1.0, "hypotheses": 3}
    first, again, other = (sampled(Stub(), seed=seed, **settings) for seed in (0, 0, 1))
    torch.testing.assert_close(first.ids, again.ids)
    assert (first.ids != other.ids).any()


def test_argmax_needs_no_generator_and_leaves_the_global_one_alone():
    before = torch.get_rng_state()
    sample_tokens(Stub(), masked(2), SamplingConfig())
    torch.testing.assert_close(torch.get_rng_state(), before)


def test_hypotheses_are_independent_draws_from_the_networks_distribution():
    stub = Stub(scale=1.0)
    result = sampled(stub, batch=1, iterations=1, temperature=1.0, hypotheses=4000)
    frequency = torch.nn.functional.one_hot(result.ids[0], CODES).float().mean(0)
    expected = stub.logits(torch.full((1, TOKENS), MASK)).softmax(-1)[0]
    torch.testing.assert_close(frequency, expected, atol=0.03, rtol=0)
    same = (result.ids[0, :-1] == result.ids[0, 1:]).float().mean(0)  # chance agreement only
    torch.testing.assert_close(same, expected.square().sum(-1), atol=0.03, rtol=0)


def test_the_first_pass_sees_each_image_once_and_later_ones_each_hypothesis():
    stub = Stub()
    sampled(stub, batch=2, iterations=3, temperature=1.0, hypotheses=5)
    assert [len(ids) for ids, _ in stub.seen] == [2, 10, 10]
    assert stub.seen[0][1] is None
    for ids, positions in stub.seen[1:]:
        assert positions is not None
        assert (ids.gather(1, positions) == MASK).all()


@pytest.mark.parametrize("iterations", [1, 5])
def test_top_1_is_the_argmax(iterations):
    greedy = sampled(Stub(), iterations=iterations)
    top = sampled(
        Stub(), iterations=iterations, temperature=1.0, top_k=1, choice_temperature=0
    )  # without noise on the choice: which tokens are kept first changes the others
    torch.testing.assert_close(top.ids, greedy.ids)


def drawn(logits: list[float], **settings) -> set[int]:
    generator = torch.Generator().manual_seed(0)
    cfg = SamplingConfig(**({"temperature": 1.0} | settings))
    return set(draw(torch.tensor([[logits]]), cfg, generator, 3000).flatten().tolist())


def test_top_k_and_top_p_restrict_what_is_drawn():
    logits = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15]).log().tolist()
    assert drawn(logits) == {0, 1, 2, 3, 4}
    assert drawn(logits, top_k=2) == {1, 3}
    assert drawn(logits, top_k=99) == {0, 1, 2, 3, 4}
    assert drawn(logits, top_p=0.05) == {1}
    assert drawn(logits, top_p=0.65) == {1, 3}
    assert drawn(logits, top_p=0.75) == {1, 3, 4}
    assert drawn(logits, top_p=1.0) == {0, 1, 2, 3, 4}
    assert drawn(logits, top_k=3, top_p=0.5) == {1, 3}  # 0.4 of 0.85 is below one half
    assert drawn(logits, top_k=3, top_p=0.4) == {1}


def test_restricted_draws_keep_their_proportions():
    logits = torch.tensor([[[0.1, 0.4, 0.05, 0.3, 0.15]]]).log()
    for settings in ({"top_k": 2}, {"top_p": 0.65}):
        cfg = SamplingConfig(temperature=1.0, **settings)
        ids = draw(logits, cfg, torch.Generator().manual_seed(0), 5000)
        assert (ids == 1).float().mean().item() == pytest.approx(4 / 7, abs=0.03)


def test_a_low_temperature_sharpens_and_a_code_of_no_probability_is_never_drawn():
    logits = [0.0, 1.0, float("-inf"), 0.5, float("-inf")]
    assert drawn(logits) == {0, 1, 3}
    assert drawn(logits, temperature=0.01) == {1}


def test_expected_codes_are_the_mean_code_and_pass_gradients():
    logits = torch.tensor([[0.0, math.log(3.0)]], requires_grad=True)
    codebook = torch.tensor([[1.0, 0, 4], [5, 0, 0]])
    codes = expected_codes(logits, codebook)
    torch.testing.assert_close(codes, torch.tensor([[4.0, 0, 1]]))
    codes[0, 0].backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.75, 0.75]]))


def test_codes_are_expectations_when_each_token_was_last_drawn():
    stub = Stub()
    codebook = torch.randn(CODES, 7, generator=torch.Generator().manual_seed(3))
    cfg = SamplingConfig(iterations=3, temperature=1.0, hypotheses=2)
    result = sample_tokens(
        stub, masked(2), cfg, generator=torch.Generator().manual_seed(0), codebook=codebook
    )
    expected = torch.zeros(4, TOKENS, 7)
    for before, _ in stub.seen:
        rows = before.repeat_interleave(4 // len(before), dim=0)
        means = stub.logits(rows).softmax(-1) @ codebook
        expected = torch.where((rows == MASK)[..., None], means, expected)
    torch.testing.assert_close(result.codes.flatten(0, 1), expected)


def test_the_last_pass_reads_all_positions_on_request():
    """Then ids, probabilities and mean codes are that pass's, also where tokens were kept."""
    stub, codebook = Stub(), torch.randn(CODES, 7, generator=torch.Generator().manual_seed(3))
    stub.influence *= 20  # so much that what is known changes what was kept
    cfg = SamplingConfig(iterations=3)
    result = sample_tokens(stub, masked(2), cfg, codebook=codebook, read_all=True)
    last, positions = stub.seen[-1]
    assert positions is None
    assert ((last == MASK).sum(1) == mask_counts(TOKENS, 3)[-1]).all()
    distribution = stub.logits(last).softmax(-1)
    sure, ids = distribution.max(-1)
    assert (ids != last)[last != MASK].any()  # a kept token is corrected
    assert torch.equal(result.ids[:, 0], ids)
    torch.testing.assert_close(result.probabilities[:, 0], sure)
    torch.testing.assert_close(result.codes[:, 0], distribution @ codebook)


def test_drawn_tokens_are_not_read_again():
    settings = {"temperature": 1.0, "iterations": 3}
    plain, asked = (
        sample_tokens(
            Stub(), masked(2), SamplingConfig(**settings),
            generator=torch.Generator().manual_seed(0), read_all=read_all,
        )
        for read_all in (False, True)
    )  # fmt: skip
    assert torch.equal(plain.ids, asked.ids)


SYNCS = (
    "item",
    "__bool__",
    "__int__",
    "__float__",
    "__index__",
    "tolist",
    "cpu",
    "numpy",
    "nonzero",
)


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 1.0, "hypotheses": 3, "top_k": 5}, {"temperature": 1.0, "top_p": 0.9}],
    ids=str,
)
def test_nothing_in_the_loop_waits_for_the_device(network, photos, monkeypatch, settings):
    def refuse(*_, **__):
        raise AssertionError("the loop asked the device for a value")

    context = network.encode_context(*photos)
    generator = torch.Generator().manual_seed(0)
    cfg, codebook, start = SamplingConfig(**settings), torch.eye(CODES), network.masked(2)
    with monkeypatch.context() as patch:
        for name in SYNCS:
            patch.setattr(Tensor, name, refuse)
        with pytest.raises(AssertionError, match="asked the device"):
            bool(codebook[0, 0])
        result = sample_tokens(
            lambda ids, positions: network(ids, context, positions),
            start, cfg, generator=generator, codebook=codebook,
        )  # fmt: skip
    assert (result.ids < CODES).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_no_call_of_the_loop_synchronises(network, photos):
    import copy

    on_gpu = copy.deepcopy(network).cuda()
    context = on_gpu.encode_context(*(x.cuda() for x in photos))
    generator = torch.Generator("cuda").manual_seed(0)
    cfg, start = SamplingConfig(temperature=1.0, hypotheses=3, top_k=5), on_gpu.masked(2)
    torch.cuda.set_sync_debug_mode("error")
    try:
        sample_tokens(
            lambda ids, positions: on_gpu(ids, context, positions),
            start, cfg, generator=generator,
        )  # fmt: skip
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_equal_hypotheses_are_refused():
    with pytest.raises(ValidationError, match="temperature 0 are all the same"):
        SamplingConfig(hypotheses=4)
