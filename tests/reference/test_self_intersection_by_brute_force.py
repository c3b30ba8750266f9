"""Intersecting faces against linear programs and against every edge through every face."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.self_intersection import self_intersecting_faces


def have_a_common_point(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether weights >= 0 that sum to 1 give the same point in both triangles."""
    equal = np.zeros((5, 6))
    equal[:3, :3], equal[:3, 3:] = first.T, -second.T
    equal[3, :3] = equal[4, 3:] = 1
    return linprog(np.zeros(6), A_eq=equal, b_eq=[0, 0, 0, 1, 1]).status == 0


def cones_have_a_common_ray(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the corners at the origin share a direction: weights >= 0, not all 0."""
    equal = np.concatenate([np.concatenate([first.T, -second.T], axis=1), np.ones((1, 4))])
    return linprog(np.zeros(4), A_eq=equal, b_eq=[0, 0, 0, 1]).status == 0


@pytest.mark.parametrize("grid", [3, 6])
def test_triangles_on_a_coarse_grid_agree_with_a_linear_program(grid):
    """Coordinates are small whole numbers: many touch or lie in one plane, some have no area."""
    rng = np.random.default_rng(grid)
    triangles = rng.integers(0, grid, (250, 2, 3, 3)).astype(float)
    triangles[::5, ..., 2] = 1  # all in one plane
    faces = np.arange(6).reshape(2, 3)
    found = self_intersecting_faces(triangles.reshape(-1, 6, 3), faces)
    sides = triangles[:, :, 1:] - triangles[:, :, :1]
    with_area = np.cross(sides[:, :, 0], sides[:, :, 1]).any(-1).all(-1)
    expected = np.array([have_a_common_point(*pair) for pair in triangles]) & with_area
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(found, np.stack([expected, expected], axis=1))


def test_triangles_with_one_common_corner_agree_with_a_linear_program():
    rng = np.random.default_rng(4)
    ends = rng.normal(size=(300, 4, 3))
    meshes = np.concatenate([np.zeros((300, 1, 3)), ends], axis=1)
    found = self_intersecting_faces(meshes, np.array([[0, 1, 2], [3, 4, 0]]))
    expected = np.array([cones_have_a_common_ray(pair[:2], pair[2:]) for pair in ends])
    assert 0.05 < expected.mean() < 0.95
    np.testing.assert_array_equal(found, np.stack([expected, expected], axis=1))


def edges_through(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For pairs of triangles (n, 3, 3): whether an edge of the first runs through the second."""
    a, b, c = second.transpose(1, 0, 2)

    def volume(p, q, r, s):
        return np.einsum("ni,ni->n", np.cross(q - p, r - p), s - p)

    through = np.zeros(len(first), dtype=bool)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        p, q = first[:, start], first[:, end]
        sides = volume(a, b, c, p) * volume(a, b, c, q) < 0
        turns = np.stack([volume(p, q, a, b), volume(p, q, b, c), volume(p, q, c, a)])
        through |= sides & ((turns > 0).all(0) | (turns < 0).all(0))
    return through


def brute_force(mesh: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Every pair; a pair with a common corner is shrunk to half towards it on one side in turn.

    After that their corners still coincide, but the shrunk triangle's far edge runs through the
    other exactly if the planes' common line leaves the other later: one of both always does.
    """
    marked = np.zeros(len(faces), dtype=bool)
    first, second = np.triu_indices(len(faces), 1)
    shared = (faces[first][:, :, None] == faces[second][:, None, :]).sum((1, 2))
    corners = mesh[faces].astype(float)
    i, j = first[shared == 0], second[shared == 0]
    cut = edges_through(corners[i], corners[j]) | edges_through(corners[j], corners[i])
    marked[i[cut]] = marked[j[cut]] = True
    i, j = first[shared == 1], second[shared == 1]
    for one, other in ((i, j), (j, i)):
        common = (faces[one][:, :, None] == faces[other][:, None, :]).any(2)
        origin = corners[one][common][:, None]
        shrunk = origin + (corners[one] - origin) / 2
        far = np.stack([np.roll(shrunk[n], -at, axis=0)[[1, 2, 1]]
                        for n, at in enumerate(common.argmax(1))])  # fmt: skip
        cut = edges_through(far, corners[other])
        marked[one[cut]] = marked[other[cut]] = True
    return marked


@pytest.fixture(scope="module")
def hands() -> tuple[np.ndarray, np.ndarray]:
    """Wildly posed hands, of which many faces intersect."""
    mano = ManoHand()
    pose = 0.6 * torch.randn(3, 48, generator=torch.Generator().manual_seed(0))
    vertices = mano(mano.full_pose(pose, False), torch.zeros(3, 10)).vertices
    return vertices.numpy(), mano.faces.numpy()


def test_faces_of_a_hand_are_those_found_by_brute_force(hands):
    vertices, faces = hands
    found = self_intersecting_faces(vertices, faces)
    busy = np.flatnonzero(found[0])
    rng = np.random.default_rng(0)
    some = np.unique(np.concatenate([busy[:200], rng.permutation(len(faces))[:300]]))
    part = self_intersecting_faces(vertices[:1], faces[some])[0]
    assert 0.02 < part.mean() < 0.9
    np.testing.assert_array_equal(part, brute_force(vertices[0], faces[some]))


@pytest.mark.slow
def test_a_whole_hand_is_marked_as_by_brute_force(hands):
    vertices, faces = hands
    found = self_intersecting_faces(vertices[1:2], faces)[0]
    np.testing.assert_array_equal(found, brute_force(vertices[1], faces))
