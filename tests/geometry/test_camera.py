import math

import pytest
import torch

from hand_pipeline.geometry import affine2d, camera


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def intrinsics() -> torch.Tensor:
    rand = torch.rand(16, 4, generator=seeded(), dtype=torch.float64)
    matrix = torch.zeros(16, 3, 3, dtype=torch.float64)
    matrix[:, 0, 0] = 400 + 100 * rand[:, 0]
    matrix[:, 1, 1] = 400 + 100 * rand[:, 1]
    matrix[:, 0, 2] = 90 + 40 * rand[:, 2]
    matrix[:, 1, 2] = 90 + 40 * rand[:, 3]
    matrix[:, 2, 2] = 1
    return matrix


@pytest.fixture
def points() -> torch.Tensor:
    points = torch.randn(16, 21, 3, generator=seeded(1), dtype=torch.float64) * 0.05
    return points + torch.tensor([0.02, -0.03, 0.7], dtype=torch.float64)


@pytest.fixture
def matrix() -> torch.Tensor:
    """Rotation, unequal scales, shear and shift."""
    rand = torch.rand(16, 6, generator=seeded(2), dtype=torch.float64)
    turn = affine2d.rotation((rand[:, 0] - 0.5) * 2 * math.pi, rand[:, 1:3] * 224)
    scale = affine2d.scaling(0.5 + rand[:, 3:5])
    shear = torch.eye(3, dtype=torch.float64).repeat(16, 1, 1)
    shear[:, 0, 1] = rand[:, 5] - 0.5
    return scale @ turn @ shear @ affine2d.translation(rand[:, 1:3] * 30)


def test_project_divides_by_depth() -> None:
    k = torch.tensor([[100.0, 0, 50], [0, 200, 60], [0, 0, 1]])
    pixels = camera.project(torch.tensor([[0.1, -0.2, 2.0]]), k)
    torch.testing.assert_close(pixels, torch.tensor([[55.0, 40.0]]))


def test_unproject_undoes_project(
    points: torch.Tensor, intrinsics: torch.Tensor, matrix: torch.Tensor
) -> None:
    skewed, _ = camera.factor_intrinsics(matrix @ intrinsics)
    assert float(skewed[:, 0, 1].abs().max()) > 1
    for k in (intrinsics, skewed):
        pixels = camera.project(points, k)
        torch.testing.assert_close(camera.unproject(pixels, points[..., 2], k), points)


def test_factors_reproduce_the_transformed_camera(
    intrinsics: torch.Tensor, matrix: torch.Tensor
) -> None:
    transformed = matrix @ intrinsics
    k, turn = camera.factor_intrinsics(transformed)
    torch.testing.assert_close(k @ turn, transformed)
    assert torch.equal(k, k.triu())
    torch.testing.assert_close(k[:, 2, 2], torch.ones(16, dtype=torch.float64))
    assert bool((k.diagonal(dim1=1, dim2=2) > 0).all())
    eye = torch.eye(3, dtype=torch.float64).expand(16, 3, 3)
    torch.testing.assert_close(turn @ turn.mT, eye)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(16, dtype=torch.float64))


def test_turned_joints_project_onto_the_transformed_pixels(
    points: torch.Tensor, intrinsics: torch.Tensor, matrix: torch.Tensor
) -> None:
    expected = affine2d.apply_affine(matrix, camera.project(points, intrinsics))
    whole = matrix @ intrinsics
    torch.testing.assert_close(camera.project(points, whole), expected)
    k, turn = camera.factor_intrinsics(whole)
    torch.testing.assert_close(camera.project(points @ turn.mT, k), expected)


def test_a_crop_keeps_the_scene_and_a_turn_rolls_the_camera(intrinsics: torch.Tensor) -> None:
    box = torch.tensor([[10.0, 20, 110, 120]], dtype=torch.float64).expand(16, 4)
    _, turn = camera.factor_intrinsics(affine2d.crop_matrix(box, 224) @ intrinsics)
    torch.testing.assert_close(turn, torch.eye(3, dtype=torch.float64).expand(16, 3, 3))
    square = intrinsics.clone()
    square[:, 1, 1] = square[:, 0, 0]
    angle = torch.full((16,), 0.7, dtype=torch.float64)
    _, turn = camera.factor_intrinsics(affine2d.rotation(angle, square[:, :2, 2]) @ square)
    expected = affine2d.rotation(angle, torch.zeros(16, 2, dtype=torch.float64))
    torch.testing.assert_close(turn, expected)


def test_a_mirrored_image_has_no_factors(intrinsics: torch.Tensor) -> None:
    flip = affine2d.scaling(torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(16, 2))
    with pytest.raises(ValueError, match="mirrors the image or is singular"):
        camera.factor_intrinsics(flip @ intrinsics)


def test_weak_perspective_round_trip(intrinsics: torch.Tensor) -> None:
    weak = torch.rand(16, 3, generator=seeded(3), dtype=torch.float64)
    weak = weak * torch.tensor([8, 1, 1]) + torch.tensor([2, -0.5, -0.5])
    placed = camera.weak_perspective_to_translation(weak, intrinsics, 224)
    found = camera.translation_to_weak_perspective(placed, intrinsics, 224)
    torch.testing.assert_close(found, weak)


def test_weak_perspective_places_the_hand_where_it_appears(intrinsics: torch.Tensor) -> None:
    weak = torch.tensor([[6.0, 0.25, -0.5]], dtype=torch.float64).expand(16, 3)
    placed = camera.weak_perspective_to_translation(weak, intrinsics, 200)
    pixels = camera.project(placed[:, None], intrinsics)[:, 0]
    expected = torch.tensor([125.0, 50.0], dtype=torch.float64).expand(16, 2)
    torch.testing.assert_close(pixels, expected)
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    # One metre at the hand's depth covers 6 half crops.
    torch.testing.assert_close(focal / placed[:, 2], torch.full((16,), 600.0).double())


def test_default_camera_looks_through_the_centre() -> None:
    k = camera.default_intrinsics(640, 480)
    centre = camera.project(torch.tensor([[0.0, 0.0, 1.0]]), k)
    torch.testing.assert_close(centre, torch.tensor([[320.0, 240.0]]))
    torch.testing.assert_close(k[0, 0], torch.tensor(800.0))
    assert float(camera.default_intrinsics(640, 480, focal=500.0)[1, 1]) == 500
