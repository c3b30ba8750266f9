import pytest
import torch
from torch.nn import functional as F

from hand_pipeline.methods.self_distillation.pixel_decoder import (
    PixelDecoder,
    fused_layers,
    num_stages,
)


@pytest.mark.parametrize(("patch_size", "stages"), [(16, 4), (8, 3), (4, 2)])
@pytest.mark.parametrize("grid", [3, 14])
def test_pixels_have_the_size_of_the_image(patch_size, stages, grid):
    decoder = PixelDecoder(24, patch_size, width=16)
    layers = [torch.randn(2, grid**2, 24) for _ in range(stages)]
    assert decoder(layers).shape == (2, 3, grid * patch_size, grid * patch_size)


@pytest.mark.parametrize("patch_size", [14, 1, 12])
def test_a_patch_that_doubling_does_not_reach_is_refused(patch_size):
    with pytest.raises(ValueError, match="2, 4, 8, 16 or 32"):
        PixelDecoder(24, patch_size)


def test_a_missing_layer_is_an_error():
    decoder = PixelDecoder(24, 16, width=16)
    with pytest.raises(ValueError, match="expected 4 layers"):
        decoder([torch.randn(2, 9, 24)] * 3)


def test_projecting_before_upsampling_equals_the_concatenation_of_equation_8():
    torch.manual_seed(0)
    decoder = PixelDecoder(24, 4, width=16)
    layers = [torch.randn(2, 9, 24) for _ in range(2)]

    def on_grid(tokens):
        return tokens.transpose(1, 2).unflatten(2, (3, 3))

    first = F.linear(decoder.norms[0](layers[0]), *decoder.from_tokens[0].parameters())
    coarse = F.gelu(decoder.upsample[0](on_grid(first)))
    fine = F.interpolate(on_grid(decoder.norms[1](layers[1])), scale_factor=2, mode="bilinear")
    joined = torch.cat([coarse, fine], 1)
    weight = torch.cat([decoder.from_map[0].weight[..., 0, 0], decoder.from_tokens[1].weight], 1)
    mixed = torch.einsum("oc,bchw->bohw", weight, joined)
    mixed = mixed + decoder.from_tokens[1].bias[:, None, None]
    torch.testing.assert_close(decoder(layers), decoder.upsample[1](mixed), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("depth", "layers"), [(12, (3, 6, 9, 12)), (24, (6, 12, 18, 24)), (6, (1, 3, 4, 6))]
)
def test_layers_spread_over_the_depth(depth, layers):
    assert fused_layers(depth, num_stages(16)) == layers


def test_a_network_shallower_than_the_decoder_is_refused():
    with pytest.raises(ValueError, match="depth 3"):
        fused_layers(3, 4)
