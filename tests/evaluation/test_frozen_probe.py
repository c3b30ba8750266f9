"""The probe reads what is linear in the features, and no more than the mean place otherwise."""

import torch

from hand_pipeline.evaluation.frozen_probe import _error, _told

PENALTIES = (1e-4, 1e-2, 1.0, 100.0)


def test_places_that_are_linear_in_the_features_are_told() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 8, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(8, 42, generator=generator, dtype=torch.float64) + 0.5
    assert _error(_told(x[:200], y[:200], x[200:], PENALTIES), y[200:]) < 1e-3


def test_features_that_tell_nothing_are_as_bad_as_the_mean_place() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 8, generator=generator, dtype=torch.float64)
    y = torch.rand(300, 42, generator=generator, dtype=torch.float64)
    mean = _error(y[:200].mean(0).expand(100, 42), y[200:])
    assert abs(_error(_told(x[:200], y[:200], x[200:], PENALTIES), y[200:]) / mean - 1) < 0.02
