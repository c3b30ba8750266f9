"""Distances between MANO parameters and between meshes, and what keeps a camera scale positive."""

from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.losses.reduction import masked_mean


def pose_loss(
    mano_pose: Float[Tensor, "batch joints 3 3"],
    target: Float[Tensor, "batch joints 3 3"],
    valid: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean squared difference of rotation matrices, per matrix element.

    HandMIM, L_MANO (L2 on parameters); on matrices rather than angles as in PyMAF, because a
    squared difference of axis-angles jumps at pi.

    Args:
        mano_pose: predicted rotations of wrist and fingers, full pose.
        target: labelled rotations, same convention.
        valid: whether the sample has MANO labels.
    """
    return masked_mean((mano_pose - target).square(), valid)


def pose_l1_loss(
    mano_pose: Float[Tensor, "batch joints 3 3"],
    target: Float[Tensor, "batch joints 3 3"],
    valid: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean absolute difference of rotation matrices, per matrix element.

    MaskHand (arXiv 2412.13393), L_theta of VQ-MANO's reconstruction, L1; on matrices for the same
    reason as `pose_loss`. Near 0 an angle of 1 degree costs about 0.007 for its joint.

    Args:
        mano_pose: rotations of wrist and fingers, full pose.
        target: labelled rotations, same convention.
        valid: whether the sample has MANO labels.
    """
    return masked_mean((mano_pose - target).abs(), valid)


def betas_loss(
    betas: Float[Tensor, "batch 10"],
    target: Float[Tensor, "batch 10"],
    valid: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean squared difference of shape coefficients, in squared standard deviations.

    HandMIM, L_MANO.
    """
    return masked_mean((betas - target).square(), valid)


def camera_loss(
    camera: Float[Tensor, "batch 3"],
    target: Float[Tensor, "batch 3"],
    valid: Bool[Tensor, " batch"],
) -> Float[Tensor, ""]:
    """Mean squared difference of weak-perspective cameras (s, tx, ty).

    HandMIM, L_MANO: t is one of the parameters its L2 covers. It matters while the orientation is
    still unknown: the 2D loss without it moves the hand away until it is a point, and a point has
    no gradient that would turn the hand.

    Args:
        camera: predicted.
        target: of the labelled hand, in the same unit; may be anything where it is not valid.
        valid: whether the hand's place is labelled.
    """
    return masked_mean((camera - target).square(), valid)


def positive_scale_loss(
    scale: Float[Tensor, " batch"], steepness: float = 10.0
) -> Float[Tensor, ""]:
    """Mean of exp(-steepness * scale)^2: near 0 for a sane scale, steep for a negative one.

    A weak-perspective scale below 0 would put the hand behind the camera, where every projection
    is mirrored and the 2D loss has a second minimum. PyMAF uses a steepness of 10 on body crops
    (scale about 0.9), PyMAF-X 1; pass the scale in the head's own unit, in which it is about 1.

    Deviation: below 0 PyMAF's exponential goes on (a scale of -0.5 costs 22,000, and one such
    sample drowns Adam's second moments for a thousand steps); we go on along its tangent at 0.
    """
    exponent = -2 * steepness * scale
    return (exponent.clamp(max=0).exp() + exponent.clamp(min=0)).mean()


def vertex_loss(
    vertices: Float[Tensor, "batch vertices 3"],
    target: Float[Tensor, "batch vertices 3"],
    valid: Bool[Tensor, " batch"],
    origin: Float[Tensor, "batch 3"] | None = None,
    target_origin: Float[Tensor, "batch 3"] | None = None,
) -> Float[Tensor, ""]:
    """Mean absolute difference of corresponding vertices, in metres a coordinate.

    HandMIM, L_vert (L1 on vertices).

    Args:
        vertices: predicted, camera frame, metres.
        target: labelled, camera frame, metres.
        valid: whether the sample's mesh is labelled.
        origin: point subtracted from the predicted mesh, usually its root joint; None: nothing.
        target_origin: the same for the labelled mesh.
    """
    if origin is not None:
        vertices = vertices - origin[:, None]
    if target_origin is not None:
        target = target - target_origin[:, None]
    return masked_mean((vertices - target).abs(), valid)
