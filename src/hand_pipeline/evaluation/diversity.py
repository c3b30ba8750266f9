"""How varied generated hands are, and how often they run into themselves."""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist, pdist

from hand_pipeline.evaluation.joint_error import MM_PER_METRE
from hand_pipeline.geometry.self_intersection import self_intersecting_faces

_CHUNK = 512  # rows of the distance matrix held at once: 8 MB for 2,000 hands


def average_pairwise_distance(joints: Float[np.ndarray, "hands 21 3"]) -> float:
    """APD in mm: mean over all pairs of hands of the mean distance of their joints.

    MaskHand (arXiv 2412.13393), unconditional generation; larger is more varied.

    Deviation: the paper does not say relative to what; we put all wrists at one place, as DPoser-X
    does. Turned wrists count as variety: pose the hands without one to compare finger poses.

    Args:
        joints: OpenPose order, metres.

    Raises:
        ValueError: fewer than two hands.
    """
    count = len(joints)
    if count < 2:
        raise ValueError(f"expected at least two hands to compare, got {count}")
    relative = joints.astype(np.float64) - joints[:, :1]
    total = 0.0
    for joint in range(1, relative.shape[1]):  # wrists are all in one place
        points = relative[:, joint]
        for start in range(0, count, _CHUNK):
            rows, others = points[start : start + _CHUNK], points[start + _CHUNK :]
            total += float(pdist(rows).sum() + cdist(rows, others).sum())
    pairs = count * (count - 1) / 2
    return MM_PER_METRE * total / (pairs * relative.shape[1])


def self_intersection_percent(
    vertices: Float[np.ndarray, "hands vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    workers: int | None = None,
) -> float:
    """Share of faces that cut into other faces of their mesh, percent, mean over the meshes.

    MaskHand (arXiv 2412.13393), unconditional generation; which faces count is told in
    `geometry.self_intersection`.

    Deviation: the paper gives no definition; we count as DPoser-X does (MeshLab's selection of
    self-intersecting faces).

    Args:
        vertices: metres.
        faces: triangles of all meshes.
        workers: threads; None takes every core that this process may use.

    Raises:
        ValueError: there is no mesh, or a vertex is not finite.
    """
    if not len(vertices) or not len(faces):
        raise ValueError(f"expected meshes, got {len(vertices)} with {len(faces)} faces each")
    return 100.0 * float(self_intersecting_faces(vertices, faces, workers).mean())
