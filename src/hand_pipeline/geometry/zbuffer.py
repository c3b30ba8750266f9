"""The z-buffer as machine code: one image after another on the CPU, without Python's lock."""

import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64
from numpy import ndarray


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile with numba, without Python's lock, kept on disk between runs where that is possible.

    Threads are ours (`ThreadPoolExecutor`), not numba's: its thread pools do not survive a fork and
    the portable one may not be entered from two threads at once. Functions that call each other
    belong in one file: numba looks only at a function's own file to decide whether its cached code
    is still good.
    """
    function = inspect.unwrap(function)  # run-time type checks, on in tests, are not compilable
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # no writable directory for the cache: compile anew in every process
        return numba.njit(nogil=True)(function)


@compiled
def fill_zbuffer(
    points: ndarray,
    depths: ndarray,
    faces: ndarray,
    near: float,
    min_area: float,
    face_index: ndarray,
    zbuffer: ndarray,
) -> None:
    """Draw the faces of one mesh into `face_index` and `zbuffer`, which it changes.

    Every operation, and their order, equals that of the torch backends in `visibility.py`, so that
    all backends agree on every pixel.

    Args:
        points: (V, 2) float64, pixels. depths: (V,) float64, metres. faces: (F, 3) int.
        near: faces with a vertex not beyond this depth are left out.
        min_area: faces with at most this area (times two, pixels^2) are left out.
        face_index: (h, w) int32, -1 where nothing was drawn yet.
        zbuffer: (h, w) float32, depth of what was drawn, infinity elsewhere.
    """
    height, width = face_index.shape
    for face in range(faces.shape[0]):
        i, j, k = faces[face, 0], faces[face, 1], faces[face, 2]
        zi, zj, zk = depths[i], depths[j], depths[k]
        if not (zi > near and zj > near and zk > near):
            continue
        ax, ay, bx, by = points[i, 0], points[i, 1], points[j, 0], points[j, 1]
        cx, cy = points[k, 0], points[k, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if not (np.isfinite(area) and abs(area) > min_area):
            continue
        x_low = int(np.ceil(min(max(min(ax, bx, cx) - 0.5, 0.0), float(width))))
        x_high = int(np.floor(max(min(max(ax, bx, cx) - 0.5, width - 1.0), -1.0)))
        y_low = int(np.ceil(min(max(min(ay, by, cy) - 0.5, 0.0), float(height))))
        y_high = int(np.floor(max(min(max(ay, by, cy) - 0.5, height - 1.0), -1.0)))
        if x_low > x_high or y_low > y_high:
            continue
        sign = 1.0 if area > 0 else -1.0
        # edge function of u -> v: E(x, y) = E_x x + (E_y y + E_1), exactly antisymmetric in u, v
        px, py, p1 = (by - cy) * sign, (cx - bx) * sign, (bx * cy - cx * by) * sign
        qx, qy, q1 = (cy - ay) * sign, (ax - cx) * sign, (cx * ay - ax * cy) * sign
        rx, ry, r1 = (ay - by) * sign, (bx - ax) * sign, (ax * by - bx * ay) * sign
        size = area * sign
        gi, gj, gk = 1.0 / (zi * size), 1.0 / (zj * size), 1.0 / (zk * size)
        for row in range(y_low, y_high + 1):
            y = row + 0.5
            p_row, q_row, r_row = py * y + p1, qy * y + q1, ry * y + r1
            for column in range(x_low, x_high + 1):
                x = column + 0.5
                p = px * x + p_row
                if p < 0.0:
                    continue
                q = qx * x + q_row
                if q < 0.0:
                    continue
                r = rx * x + r_row
                if r < 0.0:
                    continue
                depth = np.float32(1.0 / (p * gi + q * gj + r * gk))
                if depth < zbuffer[row, column]:
                    zbuffer[row, column] = depth
                    face_index[row, column] = face


def fill_zbuffers(
    points: Float64[ndarray, "batch vertices 2"],
    depths: Float64[ndarray, "batch vertices"],
    faces: Int64[ndarray, "faces 3"],
    image_size: tuple[int, int],
    near: float,
    min_area: float,
    threads: int,
) -> tuple[Int32[ndarray, "batch height width"], Float32[ndarray, "batch height width"]]:
    """Nearest face (-1: none) and its depth (infinity: none) at every pixel, images in parallel."""
    batch = len(points)
    face_index = np.full((batch, *image_size), -1, np.int32)
    zbuffer = np.full((batch, *image_size), np.inf, np.float32)

    def draw(image: int) -> None:
        fill_zbuffer(
            points[image], depths[image], faces, near, min_area, face_index[image], zbuffer[image]
        )

    if threads <= 1 or batch == 1:
        for image in range(batch):
            draw(image)
    else:
        with ThreadPoolExecutor(min(threads, batch)) as pool:
            list(pool.map(draw, range(batch)))
    return face_index, zbuffer
