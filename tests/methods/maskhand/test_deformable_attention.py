"""Deformable attention: published start, hypotheses, places, autocast."""

import pytest
import torch

from hand_pipeline.methods.maskhand.deformable_attention import DeformableAttention


@pytest.fixture
def attention() -> DeformableAttention:
    torch.manual_seed(0)
    attention = DeformableAttention(width=16, num_levels=2, num_heads=4, num_points=3).eval()
    with torch.no_grad():
        for part in (attention.sampling_offsets, attention.attention_weights):
            part.weight.normal_()
    return attention


def maps_of(batch: int) -> list[torch.Tensor]:
    return [torch.randn(batch, 16, 4, 4), torch.randn(batch, 16, 8, 8)]


def test_it_starts_with_a_ring_of_equally_weighted_points():
    attention = DeformableAttention(width=16, num_levels=2, num_heads=8, num_points=4)
    assert not attention.sampling_offsets.weight.any()
    assert not attention.attention_weights.weight.any()
    assert not attention.attention_weights.bias.any()
    ring = attention.sampling_offsets.bias.detach().reshape(8, 2, 4, 2)
    torch.testing.assert_close(ring[0, :, 0], torch.tensor([[1.0, 0], [1, 0]]))
    torch.testing.assert_close(ring[1, 0, 2], torch.tensor([3.0, 3]))  # the square's corner
    torch.testing.assert_close(ring[2, 1, 3], torch.tensor([0.0, 4]), atol=1e-5, rtol=0)
    torch.testing.assert_close(ring[4, 0, 1], torch.tensor([-2.0, 0]), atol=1e-5, rtol=0)


def test_values_of_a_batch_serve_all_its_hypotheses(attention):
    queries, references, maps = torch.randn(6, 5, 16), torch.rand(6, 5, 2), maps_of(2)
    together = attention(queries, references, attention.project_values(maps))
    copies = [level.repeat_interleave(3, dim=0) for level in maps]
    apart = attention(queries, references, attention.project_values(copies))
    torch.testing.assert_close(together, apart)


def test_places_and_shares_are_those_that_are_sampled():
    """Maps that hold their own x and y give, sampled within them, the mean of the places."""
    torch.manual_seed(0)
    attention = DeformableAttention(width=4, num_levels=2, num_heads=2, num_points=2).eval()
    with torch.no_grad():
        attention.sampling_offsets.weight.normal_(std=0.3)
        attention.sampling_offsets.bias.mul_(0.3)
        attention.attention_weights.weight.normal_()
        for linear in (attention.value_proj, attention.output_proj):
            linear.weight.copy_(torch.eye(4))
    maps = []
    for rows, columns in ((20, 30), (40, 60)):
        y, x = torch.meshgrid(
            (torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns,
            indexing="ij",
        )  # fmt: skip
        maps.append(torch.stack([x, y, x, y])[None].expand(3, -1, -1, -1))
    given = torch.randn(3, 5, 4), 0.3 + 0.4 * torch.rand(3, 5, 2), attention.project_values(maps)
    places, shares = attention.looks(*given)
    assert places.shape == (3, 5, 8, 2)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3, 5))
    mean = (places * shares[..., None]).sum(2)
    found = attention(*given).unflatten(-1, (2, 2)).mean(2)  # of both heads
    torch.testing.assert_close(found, mean)


def test_a_query_sees_its_reference_point_and_not_the_rest_of_the_map():
    attention = DeformableAttention(width=4, num_levels=1, num_heads=1, num_points=1)
    with torch.no_grad():
        attention.sampling_offsets.bias.zero_()
        for linear in (attention.value_proj, attention.output_proj):
            linear.weight.copy_(torch.eye(4))
    level = torch.arange(4 * 3 * 5).float().reshape(1, 4, 3, 5)
    centre = torch.tensor([[[3.5 / 5, 1.5 / 3]]])  # column 3, row 1
    found = attention(torch.zeros(1, 1, 4), centre, attention.project_values([level]))
    torch.testing.assert_close(found[0, 0], level[0, :, 1, 3])


def test_places_far_outside_the_maps_give_only_the_bias(attention):
    far = torch.full((2, 5, 2), 99.0)
    found = attention(torch.randn(2, 5, 16), far, attention.project_values(maps_of(2)))
    torch.testing.assert_close(found, attention.output_proj.bias.expand(2, 5, -1))


def test_gradients_reach_places_weights_and_maps(attention):
    maps = [level.requires_grad_() for level in maps_of(2)]
    references = torch.rand(2, 5, 2, requires_grad=True)
    attention(
        torch.randn(2, 5, 16), references, attention.project_values(maps)
    ).square().sum().backward()
    leaves = [*maps, references, *attention.parameters()]
    assert all(leaf.grad is not None and leaf.grad.abs().sum() > 0 for leaf in leaves)


def test_under_autocast_places_stay_exact(attention):
    queries, references, maps = torch.randn(2, 5, 16), torch.rand(2, 5, 2), maps_of(2)
    expected = attention(queries, references, attention.project_values(maps))
    with torch.autocast("cpu", torch.bfloat16):
        values = attention.project_values(maps)
        found = attention(queries, references, values)
    assert {value.dtype for value in values} == {torch.float32}
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


def test_another_number_of_maps_is_refused(attention):
    with pytest.raises(ValueError, match="expected 2 feature maps, got 1"):
        attention.project_values(maps_of(2)[:1])


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        DeformableAttention(width=10, num_heads=4)
