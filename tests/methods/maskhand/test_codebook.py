"""The codebook: averages as stated, dead codes replaced at once, frozen outside training."""

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from hand_pipeline.methods.maskhand.codebook import Codebook, code_likeness

CODES, WIDTH = 8, 3


def latents(seed: int = 0, batch: int = 6, tokens: int = 4) -> torch.Tensor:
    return torch.randn(batch, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def book(**changes: float) -> Codebook:
    torch.manual_seed(0)
    return Codebook(CODES, WIDTH, **changes).train()


def test_the_first_batch_fills_the_codebook_with_its_own_latents() -> None:
    codebook = book(decay=0.0, threshold=1e9)  # everything is replaced: codes stay latents
    codebook(latents())
    rows = latents().flatten(0, 1)
    assert (torch.cdist(codebook.embeddings, rows).amin(1) < 1e-6).all()
    assert len(codebook.embeddings.unique(dim=0)) == CODES


def test_fewer_latents_than_codes_are_repeated_with_a_little_noise() -> None:
    codebook = book()
    few = latents(batch=1, tokens=3)
    found = codebook(few)
    assert found.commitment < 1e-3
    assert len(codebook.embeddings.unique(dim=0)) == CODES


def test_a_step_equals_its_plain_statement() -> None:
    codebook, decay = book(threshold=0.5), 0.99
    codebook(latents(0))
    codebook.counts += 0.1  # so that no code falls out of use
    before = {n: b.double().numpy().copy() for n, b in codebook.named_buffers()}
    rows = latents(1).flatten(0, 1).double().numpy()
    found = codebook(latents(1))
    ids = np.array([((row - before["embeddings"]) ** 2).sum(1).argmin() for row in rows])
    np.testing.assert_array_equal(found.ids.flatten(), ids)
    for code in range(CODES):
        mine = rows[ids == code]
        count = decay * before["counts"][code] + (1 - decay) * len(mine)
        total = decay * before["sums"][code] + (1 - decay) * mine.sum(0)
        assert count >= 0.5
        assert codebook.counts[code] == pytest.approx(count, rel=1e-5)
        np.testing.assert_allclose(codebook.embeddings[code], total / count, rtol=1e-4, atol=1e-6)


def test_a_code_out_of_use_becomes_a_latent_of_the_batch_in_the_same_step() -> None:
    codebook = book()
    codebook(latents(0))
    codebook.embeddings[5] = 1e3  # far from everything
    codebook.counts[5], codebook.sums[5] = 1.005, 1e3
    others = codebook.embeddings[[0, 1, 2]].clone()
    found = codebook(latents(1))
    assert not (found.ids == 5).any()
    assert torch.cdist(codebook.embeddings[5:6], latents(1).flatten(0, 1)).min() < 1e-6
    assert codebook.counts[5] == 1
    assert (codebook.counts >= 1).all()
    assert (codebook.embeddings[[0, 1, 2]] - others).norm() < 10


def test_every_code_comes_into_use_where_there_are_clusters_enough() -> None:
    torch.manual_seed(0)
    codebook = Codebook(16, WIDTH).train()
    centres = torch.randn(4, WIDTH) * 10
    codebook(centres[None].repeat(1, 16, 1)[:, :1].repeat(1, 64, 1))  # all codes in one place
    assert len(codebook.embeddings.unique(dim=0)) <= 2
    for _ in range(500):
        rows = centres[torch.randint(4, (64,))] + 0.5 * torch.randn(64, WIDTH)
        found = codebook(rows[None])
    assert found.commitment < 0.25
    assert found.active > 0.9


def test_gradients_pass_straight_through() -> None:
    codebook, inputs = book(), latents().requires_grad_()
    found = codebook(inputs)
    weights = latents(7)
    (found.codes * weights).sum().backward()
    torch.testing.assert_close(inputs.grad, weights)


def test_the_commitment_pulls_latents_to_their_codes() -> None:
    codebook = book().eval()
    inputs = latents().requires_grad_()
    found = codebook(inputs)
    found.commitment.backward()
    codes = codebook.embeddings[found.ids]
    torch.testing.assert_close(inputs.grad, 2 * (inputs - codes).detach() / inputs.numel())


def test_codes_are_the_rows_of_the_ids() -> None:
    codebook = book().eval()
    found = codebook(latents())
    torch.testing.assert_close(found.codes, codebook.embeddings[found.ids])
    assert found.ids.dtype == torch.int64


def test_perplexity_and_active_codes_of_known_ids() -> None:
    codebook = book().eval()
    codebook.embeddings.copy_(torch.arange(CODES)[:, None].expand(CODES, WIDTH) * 10.0)
    rows = torch.tensor([0.0, 0, 10, 10, 20, 20])[None, :, None].expand(1, 6, WIDTH)
    found = codebook(rows)
    assert found.perplexity.item() == pytest.approx(3)
    assert found.active.item() == pytest.approx(3 / CODES)


def test_nothing_moves_outside_training() -> None:
    codebook = book()
    codebook(latents(0))
    before = {name: value.clone() for name, value in codebook.named_buffers()}
    codebook.eval()(latents(1))
    for name, value in codebook.named_buffers():
        assert torch.equal(value, before[name]), name


def test_a_codebook_read_back_goes_on_bit_equal() -> None:
    first, second = book(), book()
    for step in range(3):
        torch.manual_seed(step)
        first(latents(step))
    second.load_state_dict(first.state_dict())
    for codebook in (first, second):
        torch.manual_seed(3)
        codebook(latents(3))
    for name, value in first.named_buffers():
        assert torch.equal(value, second.get_buffer(name)), name


def test_bf16_latents_are_quantised_in_float32() -> None:
    codebook = book()
    with torch.autocast("cpu", torch.bfloat16):
        found = codebook(latents().bfloat16())
    assert found.codes.dtype == torch.float32
    assert codebook.embeddings.isfinite().all()


def _rank(rank: int, rendezvous: str, results: str) -> None:
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    codebook = _filled()
    torch.manual_seed(rank)  # the loop seeds ranks apart
    found = codebook(_halves()[rank])
    state = dict(codebook.named_buffers())
    torch.save((state, found.perplexity, found.active), f"{results}/{rank}.pt")
    distributed.destroy_process_group()


def _filled() -> Codebook:
    codebook = book(threshold=0.5)
    codebook.embeddings.copy_(latents(3, 2, 4).flatten(0, 1))
    codebook.sums.copy_(codebook.embeddings * 2)
    codebook.counts.fill_(2.0)
    codebook.filled.fill_(1.0)
    codebook.embeddings[7], codebook.counts[7], codebook.sums[7] = 1e3, 0.1, 1e2  # out of use
    return codebook


def _halves() -> tuple[torch.Tensor, torch.Tensor]:
    whole = latents(1, batch=6)
    return whole[:2], whole[2:]


@pytest.mark.slow
def test_two_ranks_have_the_codebook_of_one(tmp_path) -> None:
    multiprocessing.spawn(_rank, args=(str(tmp_path / "meet"), str(tmp_path)), nprocs=2)
    (one, *of_one), (two, *of_two) = (
        torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)
    )
    single = _filled()
    found = single(torch.cat(_halves()))
    for name in one:
        assert torch.equal(one[name], two[name]), name
    torch.testing.assert_close(one["counts"][:7], single.counts[:7])
    torch.testing.assert_close(one["embeddings"][:7], single.embeddings[:7])
    assert torch.cdist(one["embeddings"][7:], torch.cat(_halves()).flatten(0, 1)).min() < 1e-6
    assert of_one == of_two == [found.perplexity, found.active]


def test_a_code_is_like_itself_and_like_those_within_the_codebooks_resolution() -> None:
    codes = torch.tensor([[0.0, 0], [1, 0], [2, 0], [50, 0]])
    likeness = code_likeness(codes)  # most codes have their neighbour at 1
    torch.testing.assert_close(likeness.diagonal(), torch.ones(4))
    torch.testing.assert_close(likeness[0, 1], torch.tensor(-0.5).exp())
    torch.testing.assert_close(likeness[0, 2], torch.tensor(-2.0).exp())
    assert likeness[0, 3] < 1e-6
    assert torch.equal(likeness, likeness.T)
