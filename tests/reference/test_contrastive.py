"""NT-Xent against lightly's and a sum written out; PeCLR's inverse against points in a loop."""

import importlib
import math

import numpy as np
import pytest
import torch

from hand_pipeline.methods.peclr.contrastive import nt_xent_loss
from hand_pipeline.methods.peclr.equivariance import undo_view
from hand_pipeline.models.torchvision_compat import ensure_torchvision


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_matches_lightlys_with_its_gradient(temperature: float) -> None:
    ensure_torchvision()
    pytest.importorskip("lightly")
    theirs = importlib.import_module("lightly.loss").NTXentLoss(temperature)
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(7, 16, generator=generator, requires_grad=True)
    second = torch.randn(7, 16, generator=generator, requires_grad=True)
    ours, expected = nt_xent_loss(first, second, temperature), theirs(first, second)
    torch.testing.assert_close(ours, expected)
    for gradient, wanted in zip(
        torch.autograd.grad(ours, (first, second)), torch.autograd.grad(expected, (first, second))
    ):
        torch.testing.assert_close(gradient, wanted)


def test_nt_xent_matches_its_sum_written_out() -> None:
    rng = np.random.default_rng(0)
    views = rng.normal(size=(10, 6))
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    total = 0.0
    for i in range(10):
        others = sum(math.exp(views[i] @ views[k] / 0.5) for k in range(10) if k != i)
        total -= math.log(math.exp(views[i] @ views[(i + 5) % 10] / 0.5) / others)
    ours = nt_xent_loss(torch.from_numpy(views[:5]), torch.from_numpy(views[5:]), 0.5)
    assert ours.item() == pytest.approx(total / 10, rel=1e-6)


def test_the_inverse_matches_peclrs_steps_point_by_point() -> None:
    """Angle and shift of a known view, undone with complex numbers, one point at a time."""
    rng = np.random.default_rng(0)
    side, photo = 32, 48
    for _ in range(5):
        latent = rng.normal(size=16)
        angle, zoom = rng.uniform(-2, 2), rng.uniform(0.5, 2)
        shift = rng.uniform(-0.5, 0.5, size=2) * side  # of the photo's centre, px of the view
        cos, sin = math.cos(angle), math.sin(angle)
        linear = zoom * np.array([[cos, -sin], [sin, cos]])
        offset = side / 2 + shift - linear @ [photo / 2, photo / 2]
        matrix = np.eye(3)
        matrix[:2, :2], matrix[:2, 2] = linear, offset

        points = (latent / np.linalg.norm(latent)).reshape(8, 2)
        extent = points.max(0) - points.min(0)
        moved = [complex(*(point - shift / side * extent)) for point in points]
        middle = sum(moved) / 8
        turned = [(point - middle) * complex(cos, -sin) + middle for point in moved]
        expected = np.array([[point.real, point.imag] for point in turned]).ravel()

        ours = undo_view(
            torch.from_numpy(latent)[None].float(),
            torch.from_numpy(matrix)[None].float(),
            (side, side),
            (photo, photo),
        )
        expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(ours[0].numpy(), expected, atol=2e-6)
