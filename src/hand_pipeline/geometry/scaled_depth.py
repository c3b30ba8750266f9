"""2.5D hands: joints in the image, and depths in lengths of a bone, lifted to space.

Iqbal et al. 2018 ("Hand pose estimation via latent 2.5D heatmap regression", arXiv 1804.09534): a
image does not show how large a hand is, so depths are measured relative to a root joint and in
lengths s of one bone, z_j = (Z_j - Z_root) / s. The depth of the root then follows from the camera,
because the bone, whose ends n and m lie on the rays x = K^-1 [u, v, 1], must have the length 1:

    |(z_n + Z) x_n - (z_m + Z) x_m| = 1,   a Z^2 + b Z + c = 0

Joints are in OpenPose order, the camera frame is OpenCV's.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.camera import unproject
from hand_pipeline.geometry.precision import full_precision

Bone = tuple[int, int]


def bone_lengths(joints: Float[Tensor, "batch 21 3"], bone: Bone) -> Float[Tensor, " batch"]:
    """Length of one bone, in the joints' unit."""
    return (joints[:, bone[0]] - joints[:, bone[1]]).norm(dim=-1)


def scaled_depths(
    joints: Float[Tensor, "batch 21 3"], bone: Bone, root: int
) -> Float[Tensor, "batch 21"]:
    """Depths relative to the root joint, in lengths of the bone; 0 where it has none."""
    depths = joints[..., 2] - joints[:, root, None, 2]
    lengths = bone_lengths(joints, bone)[:, None]
    return torch.where(lengths > 0, depths / lengths, 0.0)


@full_precision
def root_depth(
    rays: Float[Tensor, "batch 21 2"], depths: Float[Tensor, "batch 21"], bone: Bone
) -> Float[Tensor, " batch"]:
    """Depth of the root, in lengths of the bone: the farther solution of the quadratic equation.

    Estimates may describe no real hand: where there is no solution, the depth at which the bone
    comes nearest to its length is taken; where both ends lie on one ray the depth has no meaning.

    Args:
        rays: x and y of each joint at depth 1.
        depths: relative to the root, in lengths of the bone.
        bone: its ends.
    """
    n, m = bone
    rays = torch.cat([rays, torch.ones_like(rays[..., :1])], dim=-1)
    across = rays[:, n] - rays[:, m]
    along = depths[:, n, None] * rays[:, n] - depths[:, m, None] * rays[:, m]
    a = across.square().sum(-1).clamp(min=1e-8)
    half_b = (across * along).sum(-1)
    c = along.square().sum(-1) - 1
    return ((half_b.square() - a * c).clamp(min=0).sqrt() - half_b) / a


@full_precision
def lift(
    joints_2d: Float[Tensor, "batch 21 2"],
    depths: Float[Tensor, "batch 21"],
    intrinsics: Float[Tensor, "batch 3 3"],
    lengths: Float[Tensor, " batch"],
    bone: Bone,
    limits: tuple[float, float],
) -> Float[Tensor, "batch 21 3"]:
    """Joints in the camera frame: X_j = s (z_j + Z_root) x_j.

    Args:
        joints_2d: pixels.
        depths: relative to the root, in lengths of the bone.
        intrinsics: camera of these pixels.
        lengths: of the bone, metres; joints come out in its unit.
        bone: its ends.
        limits: nearest and farthest depth of the root, in lengths of the bone.
    """
    rays = unproject(joints_2d, torch.ones_like(depths), intrinsics)
    root = root_depth(rays[..., :2], depths, bone).clamp(*limits)
    return rays * (lengths[:, None] * (depths + root[:, None]))[..., None]
