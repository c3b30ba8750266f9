import math

import pytest
import torch

from hand_pipeline.data.views import ViewConfig, ViewSampler
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.methods.self_distillation.pose_alignment import (
    between_views,
    pose_aware_alignment,
)

SOURCE, VIEW = (120, 160), (64, 64)
MODES = ["centred", "symmetric", "corner", "pixels"]


def to_units(points, size, coordinates):
    """Pixels in a coordinate mode, written independently of the code under test."""
    whole = torch.tensor([size[1], size[0]], dtype=points.dtype)
    return {
        "centred": (points - whole / 2) / whole,
        "symmetric": 2 * points / whole - 1,
        "corner": points / whole,
        "pixels": points - whole / 2,
    }[coordinates]


@pytest.fixture
def views():
    photos = torch.zeros(32, 3, *SOURCE, dtype=torch.uint8)
    cfg = ViewConfig(image_size=64, aspect=(0.75, 4 / 3), rotation_random_sign=True)
    return ViewSampler(cfg)(photos, torch.Generator().manual_seed(0))


@pytest.fixture
def keypoints():
    return torch.rand(32, 128, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [160.0, 120.0]
    )


@pytest.mark.parametrize("coordinates", MODES)
def test_keypoints_pushed_through_a_view_come_back(views, keypoints, coordinates):
    expected = to_units(keypoints, SOURCE, coordinates).flatten(1)
    tolerance = 1e-5 * (SOURCE[1] if coordinates == "pixels" else 1)
    for matrix in views.matrices:
        seen = to_units(apply_affine(matrix, keypoints), VIEW, coordinates)
        aligned = pose_aware_alignment(seen.flatten(1), matrix, VIEW, SOURCE, coordinates)
        torch.testing.assert_close(aligned, expected, atol=tolerance, rtol=0)


def test_alignment_is_exact_under_autocast(views, keypoints):
    matrix = views.matrices[0]
    seen = to_units(apply_affine(matrix, keypoints), VIEW, "centred").flatten(1)
    with torch.autocast("cpu", torch.bfloat16):
        aligned = pose_aware_alignment(seen, matrix, VIEW, SOURCE)
    expected = to_units(keypoints, SOURCE, "centred").flatten(1)
    torch.testing.assert_close(aligned, expected, atol=1e-5, rtol=0)


def test_corner_coordinates_are_equation_4_for_a_view_made_as_equation_3_says():
    angle, gamma, offset = 0.7, 0.5, torch.tensor([10.0, -4.0])
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = torch.eye(3)
    matrix[:2, :2] = turn * gamma
    matrix[:2, 2] = -turn @ offset  # P' = R (gamma P - (a, b))
    seen = torch.rand(1, 5, 2) * 64
    expected = (seen @ turn + offset) / gamma  # (R^-1 P' + (a, b)) / gamma, on row vectors
    aligned = pose_aware_alignment(
        (seen / 64).flatten(1), matrix[None], (64, 64), (80, 80), "corner"
    )
    torch.testing.assert_close(aligned, (expected / 80).flatten(1), atol=1e-5, rtol=0)


def test_points_of_one_view_align_with_those_of_the_other(views, keypoints):
    seen = [
        to_units(apply_affine(matrix, keypoints), VIEW, "centred").flatten(1)
        for matrix in views.matrices
    ]
    matrices = between_views(views.matrices)
    for view in range(2):
        aligned = pose_aware_alignment(seen[view], matrices[view], VIEW, VIEW)
        torch.testing.assert_close(aligned, seen[1 - view], atol=1e-4, rtol=0)


def test_gradients_reach_the_latents(views):
    latents = torch.zeros(32, 256, requires_grad=True)
    pose_aware_alignment(latents, views.matrices[0], VIEW, SOURCE).sum().backward()
    assert latents.grad is not None
    assert (latents.grad.abs() > 0).any()
