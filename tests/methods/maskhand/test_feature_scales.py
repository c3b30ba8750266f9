"""Chosen scales of the feature pyramid."""

import pytest
import torch

from hand_pipeline.methods.maskhand.feature_scales import FeatureScales


@pytest.mark.parametrize("scales", [(1,), (1, 4), (1, 4, 8), (1, 8, 16), (1, 4, 8, 16), (2,)])
def test_maps_are_the_asked_multiples_of_the_patch_grid(scales):
    maps = FeatureScales(24, channels=8, scales=scales)(torch.randn(2, 9, 24))
    assert [tuple(m.shape) for m in maps] == [(2, 8, 3 * s, 3 * s) for s in scales]


def test_every_parameter_of_the_upsampler_is_used():
    torch.manual_seed(0)
    module = FeatureScales(24, channels=8, scales=(1, 4))
    sum(m.square().sum() for m in module(torch.randn(2, 9, 24))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize("scales", [(), (0,), (3,), (4, 1), (1, 1), (-2, 1)])
def test_scales_that_doubling_does_not_reach_are_refused(scales):
    with pytest.raises(ValueError, match="rising powers of two"):
        FeatureScales(24, scales=scales)
