"""Distance between predicted and labelled mesh vertices."""

from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.losses.reduction import masked_mean


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
