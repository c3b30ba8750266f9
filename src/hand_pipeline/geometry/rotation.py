"""Rotations as matrices, axis-angle vectors and the 6D form.

Rotations act on column vectors: `rotated = R @ x`. Angles are radians. Gradients are finite
everywhere, at the identity and at half a turn too.

What makes a hand of a photo is written out here; roma does the rest, and is imported where it is
used: it loads torch's compiler, two seconds that somebody who waits for a hand need not spend.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision

_TINY = 1e-8  # length below which a vector has no direction


@full_precision
def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation by the vector's length, radians, about its direction (Rodrigues' formula).

    R = cos(a) I + sin(a) / a [v]x + (1 - cos(a)) / a^2 v v^T, the fractions as `sinc`, which knows
    their limits at 0.
    """
    angle = axis_angle.norm(dim=-1)[..., None, None]
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    outer = axis_angle[..., None] * axis_angle[..., None, :]
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    half = torch.sinc(angle / (2 * math.pi)) ** 2 / 2
    return angle.cos() * eye + torch.sinc(angle / math.pi) * cross + half * outer


@full_precision
def matrix_to_axis_angle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """The shortest rotation vector, length at most pi."""
    import roma

    return roma.rotmat_to_rotvec(matrix)


@full_precision
def rotation_6d_to_matrix(six: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation from six free numbers, without jumps or ambiguity (Zhou et al. 2019, eq. 15).

    The six numbers are the matrix's first two COLUMNS, one after the other (pytorch3d takes rows,
    PyMAF interleaves the columns); they are made orthonormal by Gram-Schmidt, the third column is
    their cross product. Parallel or zero vectors give a finite matrix that is no rotation.
    """
    first = F.normalize(six[..., :3], dim=-1, eps=_TINY)
    other = six[..., 3:] - (first * six[..., 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(other, dim=-1, eps=_TINY)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def matrix_to_rotation_6d(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The first two columns, one after the other; undone by `rotation_6d_to_matrix`."""
    return matrix[..., :2].mT.flatten(-2)


@full_precision
def geodesic_angle(
    first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Angle of the rotation from one matrix to the other, radians, 0 to pi.

    By atan2 of the sine and the cosine, which keeps small angles and angles near pi accurate in
    float32 and the gradient bounded, where acos of the trace does neither.
    """
    relative = first.mT @ second
    antisymmetric = relative - relative.mT
    sine = torch.stack(
        [antisymmetric[..., 2, 1], antisymmetric[..., 0, 2], antisymmetric[..., 1, 0]], dim=-1
    ).norm(dim=-1)
    cosine = relative.diagonal(dim1=-2, dim2=-1).sum(-1) - 1
    return torch.atan2(sine, cosine)


@full_precision
def mean_rotation(matrices: Float[Tensor, "*batch samples 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation nearest to all, in the sum of squared matrix differences (chordal mean).

    Hartley et al. 2013, "Rotation averaging", section 5.3: the mean's singular vectors, the last
    one turned round if they are no rotation. Not made to be differentiated through.
    """
    left, _, right = torch.linalg.svd(matrices.mean(-3))
    turned = torch.ones_like(left[..., 0])
    turned[..., 2] = torch.linalg.det(left @ right).sign()
    return (left * turned[..., None, :]) @ right


def random_rotation(count: int, device: torch.device | str) -> Float[Tensor, "count 3 3"]:
    """Uniformly distributed rotations, drawn from torch's global generator of the device.

    As torch's own draws, they are of its default type.
    """
    import roma

    return roma.random_rotmat(count, dtype=torch.get_default_dtype(), device=device)


def mirror_axis_angle(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """The same rotation seen in a mirror that flips x (right hand to left hand, and back)."""
    return torch.cat([axis_angle[..., :1], -axis_angle[..., 1:]], dim=-1)


def mirror_matrix(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The same rotation seen in a mirror that flips x (right hand to left hand, and back)."""
    rows = torch.cat([-matrix[..., :1, :], matrix[..., 1:, :]], dim=-2)
    return torch.cat([-rows[..., :1], rows[..., 1:]], dim=-1)
