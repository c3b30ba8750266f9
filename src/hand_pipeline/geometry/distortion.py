"""What a real lens does to the pixels of a pinhole camera: OpenCV's five coefficients."""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision


@full_precision
def project_distorted(
    points: Float[Tensor, "*batch points 3"],
    intrinsics: Float[Tensor, "*batch 3 3"],
    coefficients: Float[Tensor, "*batch 5"],
) -> Float[Tensor, "*batch points 2"]:
    """Pixels of camera-frame points, metres, as the lens shows them.

    The model of Brown (1966) with OpenCV's names and order, k1 k2 p1 p2 k3; with five zeros this is
    `camera.project`. Depth must not be zero. The model holds only near the image: far outside the
    radial polynomial turns back, and such points can land inside.

    Args:
        points: camera frame.
        intrinsics: upper triangular with last row (0, 0, 1).
        coefficients: k1, k2, p1, p2, k3.
    """
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    k1, k2, p1, p2, k3 = (c[..., None] for c in coefficients.unbind(-1))
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    rays = torch.stack([bent_x, bent_y, torch.ones_like(bent_x)], dim=-1)
    return (rays @ intrinsics.mT)[..., :2]
