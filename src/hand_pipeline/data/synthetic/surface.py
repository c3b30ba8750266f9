"""The surface that is drawn for a synthetic hand: MANO's mesh, a forearm, a sleeve, made smooth."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from numpy import ndarray

from hand_pipeline.geometry.topology import boundary_loop, vertex_normals
from hand_pipeline.geometry.zbuffer import compiled

SPLITS = 3  # each edge becomes this many; each face its square
# distance of the forearm's rings from the wrist, metres; dense where the wrist bends
RINGS = np.array(
    [0.006, 0.013, 0.021, 0.03, 0.045, 0.065, 0.09, 0.12, 0.16, 0.21, 0.27, 0.36, 0.5, 0.7]
)
ROUNDNESS = 0.75  # of Phong tessellation, the paper's value


class Arm(NamedTuple):
    """How the forearm continues the hand.

    Attributes:
        bend: flexion and deviation of the wrist, radians.
        growth: thickness of the forearm's end, of the wrist's.
        sleeve: first ring that the sleeve covers; len(RINGS) for a bare arm.
        looseness: thickness of the sleeve, of the arm's.
    """

    bend: tuple[float, float]
    growth: float
    sleeve: int
    looseness: float


def random_arm(rng: np.random.Generator) -> Arm:
    """How the forearm goes on: bent at the wrist, bare or in a sleeve."""
    sleeve = int(rng.triangular(0, 3, 9)) if rng.random() < 0.5 else len(RINGS)
    bend = (
        float(np.clip(rng.normal(0, 0.3), -0.7, 0.7)),
        float(np.clip(rng.normal(0, 0.15), -0.35, 0.35)),
    )
    return Arm(bend, rng.uniform(1.15, 1.55), sleeve, rng.uniform(1.1, 1.3))


class Surface(NamedTuple):
    """What stays the same from image to image.

    Attributes:
        faces: of hand and forearm, over the 778 vertices and the forearm's rings.
        hand_faces: how many of them, the first ones, are MANO's.
        sleeve_faces: over the rings alone, ring after ring.
        rest: rest pose of hand and forearm, metres; texture is painted on it.
        loop: wrist ring, in the order of the faces.
        wrist_axes: columns are the directions along the forearm, to the back of the hand, and to
            the thumb, rest pose.
        corners: barycentric coordinates of the vertices a face is split into.
        split_faces: faces of all split faces, SPLITS^2 for each, over len(corners) vertices each.
    """

    faces: Int64[ndarray, "faces 3"]
    hand_faces: int
    sleeve_faces: Int64[ndarray, "sleeve 3"]
    rest: Float64[ndarray, "vertices 3"]
    loop: Int64[ndarray, " loop"]
    wrist_axes: Float64[ndarray, "3 3"]
    corners: Float64[ndarray, "corners 3"]
    split_faces: Int64[ndarray, "split 3"]


def build_surface(
    template: Float32[ndarray, "778 3"], faces: Int64[ndarray, "hand_faces 3"]
) -> Surface:
    """Topology of a drawn hand, from MANO's rest pose and faces."""
    loop = boundary_loop(torch.from_numpy(faces)).numpy()
    around, count = len(loop), len(template)
    rings = [loop] + [count + around * k + np.arange(around) for k in range(len(RINGS))]
    forearm = np.concatenate([_strip(a, b) for a, b in pairwise(rings)])
    tube = [around * k + np.arange(around) for k in range(len(RINGS))]
    ring = template[loop].astype(float)
    normal = np.linalg.svd(ring - ring.mean(0))[2][2]
    normal *= np.sign(normal @ (ring.mean(0) - template.mean(0)))
    back = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    back /= np.linalg.norm(back)
    axes = np.stack([normal, back, np.cross(normal, back)], 1)
    corners, split = _split_pattern()
    all_faces = np.concatenate([faces, forearm])
    offsets = len(corners) * np.arange(len(all_faces))[:, None, None]
    surface = Surface(
        all_faces, len(faces), np.concatenate([_strip(a, b) for a, b in pairwise(tube)]),
        np.zeros((0, 3)), loop, axes, corners, (split + offsets).reshape(-1, 3),
    )  # fmt: skip
    straight = Arm((0.0, 0.0), 1.35, len(RINGS), 1.1)
    rest, _ = extend(surface, template.astype(float), np.eye(3), straight)
    return surface._replace(rest=rest)


def _strip(first: ndarray, second: ndarray) -> ndarray:
    """Faces between two rings; `first` runs as the border of the mesh it belongs to."""
    a, b = np.roll(first, -1), np.roll(second, -1)
    return np.concatenate([np.stack([a, first, second], 1), np.stack([a, second, b], 1)])


def _split_pattern() -> tuple[ndarray, ndarray]:
    corners: list[list[float]] = []
    index: dict[tuple[int, int], int] = {}
    for i in range(SPLITS + 1):
        for j in range(SPLITS + 1 - i):
            index[i, j] = len(corners)
            corners.append([1 - (i + j) / SPLITS, i / SPLITS, j / SPLITS])
    faces = []
    for i in range(SPLITS):
        for j in range(SPLITS - i):
            faces.append([index[i, j], index[i + 1, j], index[i, j + 1]])
            if i + j < SPLITS - 1:
                faces.append([index[i + 1, j], index[i + 1, j + 1], index[i, j + 1]])
    return np.array(corners), np.array(faces)


def extend(
    surface: Surface,
    vertices: Float64[ndarray, "778 3"],
    orientation: Float64[ndarray, "3 3"],
    arm: Arm,
) -> tuple[Float64[ndarray, "vertices 3"], Float64[ndarray, "tube 3"]]:
    """Vertices of hand and forearm, and those of the sleeve's rings.

    Args:
        orientation: global rotation of the hand.
    """
    axes = orientation @ surface.wrist_axes
    ring = vertices[surface.loop]
    centre = ring.mean(0)
    local = (ring - centre) @ axes
    rings, sleeve = [], []
    middle, previous = np.zeros(3), 0.0
    for distance in RINGS:
        share = min(distance / 0.03, 1.0)
        turn = _small_rotation(arm.bend[0] * share, arm.bend[1] * share)
        middle = middle + turn[:, 0] * (distance - previous)
        previous = distance
        along = min(distance / 0.2, 1.0)
        thickness = 1 + (arm.growth - 1) * along * along * (3 - 2 * along)
        flat = local * np.array([max(0.0, 1 - distance / 0.02), thickness, thickness])
        rings.append(middle + flat @ turn.T)
        loose = flat * np.array([1.0, arm.looseness, arm.looseness])
        sleeve.append(middle + loose @ turn.T)
    to_camera = [np.concatenate(part) @ axes.T + centre for part in (rings, sleeve)]
    return np.concatenate([vertices, to_camera[0]]), to_camera[1]


def _small_rotation(flexion: float, deviation: float) -> ndarray:
    """Turns the forearm's direction (first axis) in the wrist's frame."""
    cf, sf, cd, sd = np.cos(flexion), np.sin(flexion), np.cos(deviation), np.sin(deviation)
    flex = np.array([[cf, -sf, 0], [sf, cf, 0], [0, 0, 1]])
    return flex @ np.array([[cd, 0, -sd], [0, 1, 0], [sd, 0, cd]])


def normals_of(vertices: Float[ndarray, "vertices 3"], faces: ndarray) -> Float64[ndarray, "v 3"]:
    """Unit vertex normals."""
    points = torch.from_numpy(np.ascontiguousarray(vertices, float))[None]
    return vertex_normals(points, torch.from_numpy(faces))[0].numpy()


@compiled
def tessellate(
    vertices: ndarray, normals: ndarray, faces: ndarray, corners: ndarray, roundness: float
) -> ndarray:
    """Split every face and bulge it towards its vertices' tangent planes; vertices stay in place.

    Phong tessellation, Boubekeur and Alexa, SIGGRAPH Asia 2008. So the drawn surface goes through
    MANO's vertices, which are the labels (Loop subdivision would make fingers thinner).

    Returns:
        (faces * corners, 3) positions.
    """
    count = corners.shape[0]
    out = np.empty((faces.shape[0] * count, 3))
    for face in range(faces.shape[0]):
        for corner in range(count):
            x = y = z = 0.0
            for k in range(3):
                weight, v = corners[corner, k], faces[face, k]
                x += weight * vertices[v, 0]
                y += weight * vertices[v, 1]
                z += weight * vertices[v, 2]
            dx = dy = dz = 0.0
            for k in range(3):
                weight, v = corners[corner, k], faces[face, k]
                nx, ny, nz = normals[v, 0], normals[v, 1], normals[v, 2]
                height = (x - vertices[v, 0]) * nx + (y - vertices[v, 1]) * ny
                height = (height + (z - vertices[v, 2]) * nz) * weight
                dx, dy, dz = dx + height * nx, dy + height * ny, dz + height * nz
            row = face * count + corner
            out[row, 0] = x - roundness * dx
            out[row, 1] = y - roundness * dy
            out[row, 2] = z - roundness * dz
    return out
