"""Rotations as matrices, axis-angle vectors and the 6D form; thin over roma.

Rotations act on column vectors: `rotated = R @ x`. Angles are radians. Gradients are finite
everywhere, at the identity and at half a turn too.

roma is imported where it is used: it loads torch's compiler, a second that most commands need not
spend before they start.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision


@full_precision
def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation by the vector's length, radians, about its direction (Rodrigues' formula)."""
    import roma

    return roma.rotvec_to_rotmat(axis_angle)


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
    import roma

    columns = six.unflatten(-1, (2, 3)).mT
    return roma.special_gramschmidt(columns, epsilon=1e-8)


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

    Hartley et al. 2013, "Rotation averaging", section 5.3.
    """
    import roma

    return roma.special_procrustes(matrices.mean(-3))


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
