"""The lens model is OpenCV's, and without a lens the pinhole camera's."""

import cv2
import numpy as np
import torch

from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.distortion import project_distorted

LENSES = torch.tensor(
    [[-0.28, 0.19, 0.0007, -0.0004, 0.02], [0.05, -0.01, -0.002, 0.003, 0.001]],
    dtype=torch.float64,
)


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, 21, 3, generator=generator, dtype=torch.float64) * 0.5
    points[..., 2] += 3
    K = torch.tensor([[1400.0, 0.7, 950], [0, 1390, 530], [0, 0, 1]], dtype=torch.float64)
    return points, K.expand(2, 3, 3)


def test_pixels_are_those_of_cv2_project_points() -> None:
    points, K = scene()
    K = K.clone()
    K[:, 0, 1] = 0  # OpenCV knows no skew
    found = project_distorted(points, K, LENSES).numpy()
    for row in range(2):
        still = np.zeros(3)
        lens = LENSES[row].numpy()
        truth = cv2.projectPoints(points[row].numpy(), still, still, K[row].numpy(), lens)[0]
        np.testing.assert_allclose(found[row], truth[:, 0], atol=1e-9)


def test_without_a_lens_it_is_the_pinhole_camera() -> None:
    points, K = scene()
    found = project_distorted(points, K, torch.zeros(2, 5, dtype=torch.float64))
    torch.testing.assert_close(found, project(points, K))
