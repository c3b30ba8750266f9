"""Distances between predicted and labelled joints, in space and in the image."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.losses.reduction import masked_mean, weighted_mean


def joint_3d_loss(
    joints: Float[Tensor, "batch 21 3"],
    target: Float[Tensor, "batch 21 3"],
    valid: Bool[Tensor, "batch 21"],
    root: int | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference of 3D joints, in metres a coordinate.

    HandMIM (arXiv 2307.16061), the 3D half of L_kpt: L1 on joints.

    Args:
        joints: predicted, camera frame, metres.
        target: labelled, camera frame, metres.
        valid: which joints are labelled.
        root: joint that is subtracted from both hands first (PyMAF-X: the wrist, 0); None compares
            absolute positions. A sample whose root has no label then counts for nothing.
    """
    if root is not None:
        joints = joints - joints[:, root : root + 1]
        target = target - target[:, root : root + 1]
        valid = valid & valid[:, root : root + 1]
    return masked_mean((joints - target).abs(), valid)


def joint_3d_square_loss(
    joints: Float[Tensor, "batch 21 3"],
    target: Float[Tensor, "batch 21 3"],
    valid: Bool[Tensor, "batch 21"],
) -> Float[Tensor, ""]:
    """Mean squared difference of 3D joints in the camera's frame, square metres a coordinate.

    S2HAND (Chen et al., CVPR 2021), eq. 16: what full supervision adds.

    Args:
        joints: predicted, camera frame, metres.
        target: labelled, camera frame, metres.
        valid: which joints are labelled.
    """
    return masked_mean((joints - target).square(), valid)


def joint_2d_loss(
    joints: Float[Tensor, "batch 21 2"],
    target: Float[Tensor, "batch 21 2"],
    valid: Bool[Tensor, "batch 21"],
    image_size: int,
) -> Float[Tensor, ""]:
    """Mean absolute difference of projected joints, as a share of the image's side.

    HandMIM, the 2D half of L_kpt: L1 between K (J + t) and the 2D label with the true K.

    Deviation: the paper does not name the unit; we divide pixels by the image side, so that the
    weight of the term does not depend on the input size.

    Args:
        joints: predicted joints in pixels of the network's input.
        target: labels in the same pixels.
        valid: which joints are labelled.
        image_size: side of the network's input, pixels.
    """
    return masked_mean((joints - target).abs() / image_size, valid)


@full_precision
def heatmap_loss(
    logits: Float[Tensor, "batch joints rows columns"],
    points: Float[Tensor, "batch joints 2"],
    confidence: Float[Tensor, "batch joints"],
    spread: float = 1.0,
) -> Float[Tensor, ""]:
    """Kullback-Leibler divergence of the softmax of each map from a Gaussian at its point, nats.

    Integral regression alone only asks for the mean of a map, which a flat map with a slight slope
    has as well as a peak; not in S2HAND's or MaskHand's paper. Weighted by squared confidence, as
    S2HAND's E_2D; points outside the map count for nothing.

    Args:
        logits: of the maps.
        points: cells of the map; left edge 0.
        confidence: 0 to 1.
        spread: of the Gaussian, cells.
    """
    rows, columns = logits.shape[-2:]
    squares = []
    for axis, count in ((0, columns), (1, rows)):
        centres = torch.arange(count, device=logits.device, dtype=logits.dtype) + 0.5
        squares.append((points[..., axis, None] - centres).square())
    distance = squares[1][..., :, None] + squares[0][..., None, :]
    target = (-distance / (2 * spread**2)).flatten(2).log_softmax(-1)
    divergence = (target.exp() * (target - logits.flatten(2).log_softmax(-1))).sum(-1)
    inside = ((points >= 0) & (points <= points.new_tensor([columns, rows]))).all(-1)
    return weighted_mean(divergence, (confidence * inside).square())
