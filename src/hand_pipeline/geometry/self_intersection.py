"""Which faces of a mesh run into other faces of it: exact, compiled, one mesh after another.

Faces that share no corner intersect if they have any point in common, which the theorem of
separating axes decides: two triangles are apart if and only if they are apart along a face's
normal, a product of an edge of each, or an edge's normal within its face. Faces that share one
corner intersect if they meet elsewhere than in coplanar parts or along a border: if the line of
both planes enters both from that corner. Faces that share an edge never count, copies always, and
faces without area never.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from hand_pipeline.geometry.zbuffer import compiled


def self_intersecting_faces(
    vertices: Float[ndarray, "meshes vertices 3"],
    faces: Int[ndarray, "faces 3"],
    workers: int | None = None,
) -> Bool[ndarray, "meshes faces"]:
    """Faces that intersect a face they share no edge with.

    Args:
        vertices: any unit; computed in double precision.
        faces: of all meshes, open or closed.
        workers: threads; None takes every core that this process may use.

    Raises:
        ValueError: a vertex is not finite.
    """
    bad = ~np.isfinite(vertices).all(axis=(1, 2))
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {len(vertices)} meshes have vertices that are not finite, the "
            f"first is number {int(bad.argmax())}"
        )
    index = faces.astype(np.int64)

    def mark(mesh: ndarray) -> ndarray:
        return _intersecting(np.ascontiguousarray(mesh[index], dtype=np.float64), index)

    with ThreadPoolExecutor(workers or len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(mark, vertices))
    return np.stack(rows) if rows else np.empty((0, len(faces)), dtype=bool)


def _intersecting(
    corners: Float[ndarray, "faces 3 3"], faces: Int[ndarray, "faces 3"]
) -> Bool[ndarray, " faces"]:
    marked = np.zeros(len(faces), dtype=bool)
    if len(faces) < 2:
        return marked
    low, high = corners.min(axis=1), corners.max(axis=1)
    # sweep along the longest axis, where boxes overlap least
    axis = int((high.max(axis=0) - low.min(axis=0)).argmax())
    turn = np.roll(np.arange(3), -axis)
    order = np.argsort(low[:, axis], kind="stable")
    edges = np.roll(corners, -1, axis=1) - corners
    normals = np.cross(edges[:, 0], edges[:, 1])
    marked[order] = intersecting_faces(
        corners[order], edges[order], normals[order], faces[order],
        np.ascontiguousarray(low[order][:, turn]), np.ascontiguousarray(high[order][:, turn]),
    )  # fmt: skip
    return marked


@compiled
def intersecting_faces(
    corners: ndarray,
    edges: ndarray,
    normals: ndarray,
    faces: ndarray,
    low: ndarray,
    high: ndarray,
) -> ndarray:
    """Whether each face intersects another: (F,) bool.

    Args:
        corners, edges: (F, 3, 3) float64; edge k goes from corner k to the next.
        normals: (F, 3) float64, of any length.
        faces: (F, 3) int64.
        low, high: (F, 3) float64, boxes of the faces, which ascend in `low[:, 0]`.
    """
    count = faces.shape[0]
    marked = np.zeros(count, dtype=np.bool_)
    for i in range(count):
        if _has_no_area(normals, i):
            continue
        for j in range(i + 1, count):
            if low[j, 0] > high[i, 0]:
                break
            if marked[i] and marked[j]:
                continue
            if low[j, 1] > high[i, 1] or low[i, 1] > high[j, 1]:
                continue
            if low[j, 2] > high[i, 2] or low[i, 2] > high[j, 2]:
                continue
            if _has_no_area(normals, j):
                continue
            shared, a, b = 0, 0, 0
            for k in range(3):
                for m in range(3):
                    if faces[i, k] == faces[j, m]:
                        shared, a, b = shared + 1, k, m
            if shared == 0:
                meet = _triangles_meet(corners, edges, normals, i, j)
            elif shared == 1:
                meet = _corners_meet(edges, normals, i, a, j, b)
            else:
                meet = shared == 3
            if meet:
                marked[i] = True
                marked[j] = True
    return marked


@compiled
def _has_no_area(normals: ndarray, i: int) -> bool:
    return normals[i, 0] == 0.0 and normals[i, 1] == 0.0 and normals[i, 2] == 0.0


@compiled
def _triangles_meet(corners: ndarray, edges: ndarray, normals: ndarray, i: int, j: int) -> bool:
    """Whether two triangles have a point in common: no axis separates them."""
    for face in (i, j):
        if _apart(corners, i, j, normals[face, 0], normals[face, 1], normals[face, 2]):
            return False
    for k in range(3):
        for m in range(3):
            x, y, z = _cross(edges, i, k, edges[j, m, 0], edges[j, m, 1], edges[j, m, 2])
            if _apart(corners, i, j, x, y, z):
                return False
    # only faces in one plane get here without need for these
    for face in (i, j):
        for k in range(3):
            x, y, z = _cross(edges, face, k, normals[face, 0], normals[face, 1], normals[face, 2])
            if _apart(corners, i, j, x, y, z):
                return False
    return True


@compiled
def _corners_meet(edges: ndarray, normals: ndarray, i: int, a: int, j: int, b: int) -> bool:
    """Whether two triangles with one common corner (a of i, b of j) cut into each other there.

    Their planes meet in a line through the corner, and the triangles in a part of it if one of its
    two rays runs inside both: the nearer of the points where it leaves them is the other end.
    """
    x = normals[i, 1] * normals[j, 2] - normals[i, 2] * normals[j, 1]
    y = normals[i, 2] * normals[j, 0] - normals[i, 0] * normals[j, 2]
    z = normals[i, 0] * normals[j, 1] - normals[i, 1] * normals[j, 0]
    side = _side_in_corner(edges, normals, i, a, x, y, z)
    return side != 0 and side == _side_in_corner(edges, normals, j, b, x, y, z)


@compiled
def _side_in_corner(
    edges: ndarray, normals: ndarray, i: int, a: int, x: float, y: float, z: float
) -> int:
    """1 if the direction, in the face's plane, points into its corner a, -1 if its opposite does.

    0 if neither does. With d = s u + t v for the edges u, v that leave the corner,
    s has the sign of (d x v) . n and t that of (u x d) . n.
    """
    before = (a + 2) % 3  # arrives at the corner: v is its opposite
    px, py, pz = _cross(edges, i, before, x, y, z)  # = d x v
    qx, qy, qz = _cross(edges, i, a, x, y, z)
    s = px * normals[i, 0] + py * normals[i, 1] + pz * normals[i, 2]
    t = qx * normals[i, 0] + qy * normals[i, 1] + qz * normals[i, 2]
    if s > 0.0 and t > 0.0:
        return 1
    return -1 if s < 0.0 and t < 0.0 else 0


@compiled
def _cross(
    edges: ndarray, i: int, k: int, x: float, y: float, z: float
) -> tuple[float, float, float]:
    u, v, w = edges[i, k, 0], edges[i, k, 1], edges[i, k, 2]
    return v * z - w * y, w * x - u * z, u * y - v * x


@compiled
def _apart(corners: ndarray, i: int, j: int, x: float, y: float, z: float) -> bool:
    """Whether faces i and j have no place in common along an axis."""
    low, high = np.inf, -np.inf
    for k in range(3):
        place = corners[i, k, 0] * x + corners[i, k, 1] * y + corners[i, k, 2] * z
        low, high = min(low, place), max(high, place)
    other_low, other_high = np.inf, -np.inf
    for k in range(3):
        place = corners[j, k, 0] * x + corners[j, k, 1] * y + corners[j, k, 2] * z
        other_low, other_high = min(other_low, place), max(other_high, place)
    return other_low > high or low > other_high
