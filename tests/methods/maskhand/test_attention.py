"""Attention in two halves equals torch's, and serves hypotheses without copies."""

import pytest
import torch
from torch import nn

from hand_pipeline.methods.maskhand.attention import Attention


@pytest.fixture
def both() -> tuple[Attention, nn.MultiheadAttention]:
    torch.manual_seed(0)
    ours = Attention(16, 4, context_width=12).eval()
    theirs = nn.MultiheadAttention(16, 4, kdim=12, vdim=12, batch_first=True).eval()
    nn.init.normal_(theirs.in_proj_bias)
    q, k, v = theirs.in_proj_bias.detach().chunk(3)
    sources = {
        "query_proj.weight": theirs.q_proj_weight, "query_proj.bias": q,
        "key_proj.weight": theirs.k_proj_weight, "key_proj.bias": k,
        "value_proj.weight": theirs.v_proj_weight, "value_proj.bias": v,
        "output_proj.weight": theirs.out_proj.weight, "output_proj.bias": theirs.out_proj.bias,
    }  # fmt: skip
    ours.load_state_dict(sources)
    return ours, theirs


def test_it_equals_torchs_multi_head_attention(both):
    ours, theirs = both
    queries, context = torch.randn(2, 5, 16), torch.randn(2, 7, 12)
    expected, _ = theirs(queries, context, context, need_weights=False)
    torch.testing.assert_close(ours(queries, ours.project_values(context)), expected)


def test_hypotheses_of_an_image_see_that_image(both):
    ours, _ = both
    queries, context = torch.randn(6, 5, 16), torch.randn(2, 7, 12)
    together = ours(queries, ours.project_values(context))
    apart = ours(queries, ours.project_values(context.repeat_interleave(3, dim=0)))
    torch.testing.assert_close(together, apart)


def test_a_head_may_be_wider_than_its_share():
    attention = Attention(16, 4, context_width=12, head_width=8)
    assert attention.query_proj.weight.shape == (32, 16)
    found = attention(torch.randn(2, 1, 16), attention.project_values(torch.randn(2, 7, 12)))
    assert found.shape == (2, 1, 16)


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="not a multiple"):
        Attention(10, 4)
