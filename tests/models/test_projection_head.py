import pytest
import torch

from hand_pipeline.models.projection_head import ProjectionHead, Prototypes


def test_head_maps_any_number_of_leading_dimensions():
    head = ProjectionHead(16, hidden_dim=32, out_dim=8)
    assert head(torch.randn(5, 16)).shape == (5, 8)
    assert head(torch.randn(2, 3, 16)).shape == (2, 3, 8)


def test_head_starts_as_ibots_does():
    head = ProjectionHead(384)
    layers = [m for m in head.modules() if isinstance(m, torch.nn.Linear)]
    assert [tuple(m.weight.shape) for m in layers] == [(2048, 384), (2048, 2048), (256, 2048)]
    for layer in layers:
        assert layer.bias.abs().max() == 0
        assert layer.weight.abs().max() <= 0.04
        assert 0.017 < layer.weight.std() < 0.02  # 0.02, narrowed by the cut at two deviations


def test_l2_gives_unit_length():
    latents = ProjectionHead(16, hidden_dim=32, out_dim=8, l2=True)(torch.randn(5, 16))
    torch.testing.assert_close(latents.norm(dim=-1), torch.ones(5))


@pytest.mark.parametrize("full_precision", [True, False])
def test_latents_are_float32_under_autocast(full_precision):
    head = ProjectionHead(16, hidden_dim=32, out_dim=8, full_precision=full_precision)
    tokens = torch.randn(5, 16)
    with torch.autocast("cpu", torch.bfloat16):
        latents = head(tokens.bfloat16())
    assert latents.dtype == torch.float32
    exact = torch.equal(latents, head(tokens.bfloat16().float()))
    assert exact == full_precision


def test_prototypes_give_cosines():
    prototypes = Prototypes(8, 20)
    latents = torch.randn(5, 8)
    expected = torch.cosine_similarity(latents[:, None], prototypes.weight, dim=-1)
    torch.testing.assert_close(prototypes(latents), expected)


def test_latents_of_a_narrow_head_start_at_the_scale_of_ibots():
    tokens = torch.randn(64, 192, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    wide, narrow = (ProjectionHead(192, hidden_dim=dim)(tokens).std() for dim in (2048, 128))
    assert 0.7 < narrow / wide < 1.4
