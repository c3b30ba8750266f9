"""Cut the hand off the arm: an open disk of triangles, and what is known of its rim."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from scripts.build_open_hand.arm import Arm
from scripts.build_open_hand.straighten import Skeleton, unit

CUT_BEHIND_WRIST = 0.020
"""Metres from MakeHuman's wrist joint towards the elbow at which the hand ends."""


class HandSkin(NamedTuple):
    """The hand's skin at full resolution.

    Attributes:
        arm_ids: each vertex's number in the arm, ascending.
        triangles: in the numbers of this skin.
        uv_triangles: the same triangles in texture coordinates.
    """

    arm_ids: Int[np.ndarray, " skin"]
    triangles: Int[np.ndarray, "triangles 3"]
    uv_triangles: Int[np.ndarray, "triangles 3"]


def cut_hand(
    arm: Arm,
    positions: Float[np.ndarray, "arm 3"],
    skeleton: Skeleton,
    flat: Float[np.ndarray, "arm 3"],
) -> HandSkin:
    """Keep the faces in front of the cut, quads split along their shorter diagonal.

    Args:
        positions: the mean arm in the palm frame.
        skeleton: of `positions`.
        flat: the same arm with straightened fingers; decides which diagonal is shorter.
    """
    wrist = skeleton.joints[0]
    along_forearm = (positions - wrist) @ unit(wrist - skeleton.elbow)
    inside = arm.is_skin & (along_forearm > -CUT_BEHIND_WRIST)
    triangles, uv_triangles = [], []
    for face, uv_face in zip(arm.faces, arm.uv_faces):
        if inside[list(face)].all():
            for corners in _split(flat[list(face)]):
                triangles.append([face[corner] for corner in corners])
                uv_triangles.append([uv_face[corner] for corner in corners])
    arm_ids, local = np.unique(triangles, return_inverse=True)
    return HandSkin(arm_ids, local.reshape(-1, 3), np.array(uv_triangles))


def boundary_edges(triangles: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """Directed edges that belong to one triangle only, in the direction the triangle has them."""
    directed = [edge for a, b, c in triangles for edge in ((a, b), (b, c), (c, a))]
    uses = Counter((min(edge), max(edge)) for edge in directed)
    return [edge for edge in directed if uses[min(edge), max(edge)] == 1]


def boundary_loop(triangles: Iterable[Iterable[int]], start: int) -> list[int]:
    """Vertices of the one boundary of a disk, in the direction of its triangles, from `start`."""
    following = dict(boundary_edges(triangles))
    loop = [start]
    while following[loop[-1]] != start:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError(
            f"expected one boundary, got a loop of {len(loop)} in {len(following)} edges"
        )
    return loop


def _split(corners: Float[np.ndarray, "corners 3"]) -> tuple[tuple[int, int, int], ...]:
    """Corner numbers of the triangles of a triangle or quad."""
    if len(corners) == 3:
        return ((0, 1, 2),)
    first = np.linalg.norm(corners[0] - corners[2])
    second = np.linalg.norm(corners[1] - corners[3])
    return ((0, 1, 2), (0, 2, 3)) if first <= second else ((0, 1, 3), (1, 2, 3))
