import math

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from hand_pipeline.geometry import rotation


@pytest.fixture
def matrices() -> torch.Tensor:
    return roma.random_rotmat((50,), generator=torch.Generator().manual_seed(0))


def test_axis_angle_agrees_with_scipy_and_back(matrices: torch.Tensor) -> None:
    vectors = Rotation.from_matrix(matrices.double().numpy()).as_rotvec()
    found = rotation.axis_angle_to_matrix(torch.from_numpy(vectors))
    torch.testing.assert_close(found, matrices.double(), atol=1e-5, rtol=0)
    back = rotation.matrix_to_axis_angle(found)
    np.testing.assert_allclose(back.numpy(), vectors, atol=1e-9)


def test_6d_takes_the_first_two_columns(matrices: torch.Tensor) -> None:
    six = rotation.matrix_to_rotation_6d(matrices)
    torch.testing.assert_close(six[:, :3], matrices[:, :, 0])
    torch.testing.assert_close(six[:, 3:], matrices[:, :, 1])
    torch.testing.assert_close(rotation.rotation_6d_to_matrix(six), matrices, atol=1e-6, rtol=0)


def test_6d_of_any_two_vectors_is_a_rotation_that_keeps_the_first_direction() -> None:
    six = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    matrix = rotation.rotation_6d_to_matrix(six)
    eye = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    torch.testing.assert_close(matrix.mT @ matrix, eye)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(4, 5, dtype=torch.float64))
    first = six[..., :3] / six[..., :3].norm(dim=-1, keepdim=True)
    torch.testing.assert_close(matrix[..., 0], first)


@pytest.mark.parametrize("angle", [0.0, 1e-4, 0.3, 2.0, math.pi - 1e-3, math.pi])
def test_geodesic_angle_is_the_angle_turned(angle: float, matrices: torch.Tensor) -> None:
    axis = torch.tensor([0.6, 0.0, 0.8])
    turned = matrices @ rotation.axis_angle_to_matrix(axis * angle)
    found = rotation.geodesic_angle(matrices, turned)
    torch.testing.assert_close(found, torch.full((50,), angle), atol=2e-6, rtol=0)


def test_mean_of_opposite_turns_is_where_they_started(matrices: torch.Tensor) -> None:
    axes = torch.randn(50, 4, 3, generator=torch.Generator().manual_seed(2)) * 0.5
    around = rotation.axis_angle_to_matrix(torch.cat([axes, -axes], dim=1))
    mean = rotation.mean_rotation(matrices[:, None] @ around)
    torch.testing.assert_close(mean, matrices, atol=1e-5, rtol=0)


def test_mirror_of_a_turned_point_is_the_mirrored_turn_of_its_mirror(
    matrices: torch.Tensor,
) -> None:
    points = torch.randn(50, 3, generator=torch.Generator().manual_seed(3))
    flip = torch.tensor([-1.0, 1.0, 1.0])
    expected = (matrices @ points[..., None])[..., 0] * flip
    found = (rotation.mirror_matrix(matrices) @ (points * flip)[..., None])[..., 0]
    torch.testing.assert_close(found, expected)
    vectors = rotation.matrix_to_axis_angle(matrices)
    from_vectors = rotation.axis_angle_to_matrix(rotation.mirror_axis_angle(vectors))
    torch.testing.assert_close(from_vectors, rotation.mirror_matrix(matrices), atol=1e-5, rtol=0)


def test_gradients_are_finite_at_the_identity_and_at_half_a_turn() -> None:
    vectors = torch.tensor([[0.0, 0, 0], [math.pi, 0, 0], [1e-9, 0, 0]], requires_grad=True)
    matrix = rotation.axis_angle_to_matrix(vectors)
    eye = torch.eye(3).expand(3, 3, 3)
    total = (
        matrix[:, 0, 1].sum()
        + rotation.matrix_to_axis_angle(matrix).sum()
        + rotation.geodesic_angle(matrix, eye).sum()
        + rotation.rotation_6d_to_matrix(rotation.matrix_to_rotation_6d(matrix)).sum()
    )
    (gradient,) = torch.autograd.grad(total, vectors)
    assert bool(gradient.isfinite().all())


def test_gradient_of_a_zero_6d_vector_is_finite() -> None:
    six = torch.zeros(2, 6, requires_grad=True)
    matrix = rotation.rotation_6d_to_matrix(six)
    (gradient,) = torch.autograd.grad(matrix.sum(), six)
    assert bool(matrix.isfinite().all())
    assert bool(gradient.isfinite().all())


def test_axis_angle_gradient_at_zero_is_the_cross_product() -> None:
    vector = torch.zeros(3, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(rotation.axis_angle_to_matrix, vector)
    expected = torch.zeros(3, 3, 3, dtype=torch.float64)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        expected[k, j, i], expected[j, k, i] = 1, -1
    torch.testing.assert_close(jacobian, expected)
