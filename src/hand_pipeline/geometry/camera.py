"""The pinhole camera, and what happens to it when its image is cropped, scaled or rotated.

Camera frame is OpenCV's: +x right, +y down, +z forward, metres. Pixels: the left and top edge of
the image are 0, pixel centres lie at .5. Intrinsics are upper triangular with last row (0, 0, 1).
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision


@full_precision
def project(
    points: Float[Tensor, "*batch points 3"], intrinsics: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch points 2"]:
    """Pixels of camera-frame points, metres. Depth must not be zero; its sign is not checked."""
    homogeneous = points @ intrinsics.mT
    return homogeneous[..., :2] / homogeneous[..., 2:]


@full_precision
def unproject(
    pixels: Float[Tensor, "*batch points 2"],
    depth: Float[Tensor, "*batch points"],
    intrinsics: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch points 3"]:
    """Camera-frame points, metres, seen at `pixels` with z equal to `depth`."""
    focal_x, focal_y = intrinsics[..., 0, 0, None], intrinsics[..., 1, 1, None]
    skew = intrinsics[..., 0, 1, None]
    y = (pixels[..., 1] - intrinsics[..., 1, 2, None]) / focal_y
    x = (pixels[..., 0] - intrinsics[..., 0, 2, None] - skew * y) / focal_x
    return torch.stack([x, y, torch.ones_like(x)], dim=-1) * depth[..., None]


@full_precision
def factor_intrinsics(
    matrix_times_k: Float[Tensor, "batch 3 3"],
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch 3 3"]]:
    """Split a transformed camera into intrinsics and a rotation of the scene: `A K = K' R`.

    RQ decomposition by Gram-Schmidt from the last row up (Hartley and Zisserman 2004, A4.1.1).
    For an affine `A` the rotation is about the optical axis.

    Returns:
        `K'`, upper triangular, positive diagonal, `K'[2, 2] = 1` (`A K` is matched up to that
        scale, which is 1 for an affine `A`), and the rotation `R` by which 3D labels (points and
        the hand's global orientation) are to be turned.

    Raises:
        ValueError: a determinant is not positive (`A` mirrors the image, and no rotation can).
            Checked on the CPU only, because on a GPU the check would wait for the device; there the
            rotation's determinant is -1.
    """
    if matrix_times_k.device.type == "cpu" and bool((torch.linalg.det(matrix_times_k) <= 0).any()):
        raise ValueError(
            "cannot factor A K into intrinsics and a rotation: expected a positive determinant, "
            "but A mirrors the image or is singular. Mirror the labels first, then factor"
        )
    first, second, third = matrix_times_k.unbind(1)
    k22 = third.norm(dim=-1, keepdim=True)
    axis_z = third / k22
    k12 = (second * axis_z).sum(-1, keepdim=True)
    rest = second - k12 * axis_z
    k11 = rest.norm(dim=-1, keepdim=True)
    axis_y = rest / k11
    k02 = (first * axis_z).sum(-1, keepdim=True)
    k01 = (first * axis_y).sum(-1, keepdim=True)
    rest = first - k02 * axis_z - k01 * axis_y
    k00 = rest.norm(dim=-1, keepdim=True)
    axis_x = rest / k00
    zero = torch.zeros_like(k00)
    rows = [k00, k01, k02, zero, k11, k12, zero, zero, k22]
    intrinsics = torch.cat(rows, dim=-1).unflatten(-1, (3, 3)) / k22[..., None]
    return intrinsics, torch.stack([axis_x, axis_y, axis_z], dim=1)


@full_precision
def weak_perspective_to_translation(
    scale_xy: Float[Tensor, "batch 3"], intrinsics: Float[Tensor, "batch 3 3"], image_size: int
) -> Float[Tensor, "batch 3"]:
    """The translation, metres, of a hand regressed as (s, tx, ty) in its square crop.

    `tx, ty` in [-1, 1] is where the hand's origin appears in the crop, `s` how many half crops one
    metre at its depth covers, so `tz = 2 f / (S s)` with f the mean of both focal lengths, and the
    translation projects exactly onto (tx, ty) whatever the principal point.

    Deviation: PyMAF takes tx, ty in metres, `s (X + tx)`, with a principal point in the centre; we
    take them in crop units, because then they do not depend on the depth, and use the crop's true
    camera, because HandMIM's 2D loss projects with it.

    Args:
        scale_xy: s, tx, ty; s positive.
        intrinsics: camera of the crop.
        image_size: side S of the crop, pixels.
    """
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    depth = 2 * focal / (image_size * scale_xy[:, 0])
    pixels = (scale_xy[:, None, 1:] + 1) * (image_size / 2)
    return unproject(pixels, depth[:, None], intrinsics)[:, 0]


@full_precision
def translation_to_weak_perspective(
    translation: Float[Tensor, "batch 3"], intrinsics: Float[Tensor, "batch 3 3"], image_size: int
) -> Float[Tensor, "batch 3"]:
    """(s, tx, ty) of a translation, metres; undone by `weak_perspective_to_translation`."""
    focal = (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
    scale = 2 * focal / (image_size * translation[:, 2])
    pixels = project(translation[:, None], intrinsics)[:, 0]
    return torch.cat([scale[:, None], pixels * (2 / image_size) - 1], dim=-1)


def default_intrinsics(width: int, height: int, focal: float | None = None) -> Float[Tensor, "3 3"]:
    """A camera for a photo that came without one: principal point in the centre.

    Args:
        width: of the photo, pixels.
        height: of the photo, pixels.
        focal: pixels; by default the photo's diagonal, a field of view of 53 degrees from corner
            to corner (Li et al. 2022, "CLIFF", section 3.2). A wrong focal length moves the hand
            along the viewing ray; its image stays right.
    """
    length = math.hypot(width, height) if focal is None else focal
    return torch.tensor([[length, 0.0, width / 2], [0.0, length, height / 2], [0.0, 0.0, 1.0]])
