"""Faces that cut into each other: cases one can see, and what never counts."""

import numpy as np
import pytest

from hand_pipeline.geometry.self_intersection import self_intersecting_faces

FLOOR = [[0.0, 0, 0], [4, 0, 0], [0, 4, 0]]


def marked(points, faces):
    return self_intersecting_faces(np.array([points]), np.array(faces))[0].tolist()


def two(*other):
    return marked([*FLOOR, *other], [[0, 1, 2], [3, 4, 5]])


def test_a_triangle_through_another_marks_both():
    assert two([1.0, 1, -1], [1, 1, 1], [2, 1, 1]) == [True, True]


def test_a_triangle_above_or_beside_another_marks_none():
    assert two([1.0, 1, 0.1], [1, 1, 1], [2, 1, 1]) == [False, False]
    assert two([3.0, 3, -1], [3, 3, 1], [4, 3, 1]) == [False, False]


def test_touching_triangles_have_a_point_in_common():
    assert two([1.0, 1, 0], [1, 1, 1], [2, 1, 1]) == [True, True]
    assert two([4.0, 0, 0], [5, 0, 1], [5, 1, 1]) == [True, True]


def test_triangles_in_one_plane_intersect_where_they_overlap():
    assert two([1.0, 1, 0], [5, 1, 0], [5, 5, 0]) == [True, True]
    assert two([1.0, 1, 0], [1.5, 1, 0], [1, 1.5, 0]) == [True, True]  # one inside the other
    assert two([3.0, 3, 0], [5, 3, 0], [5, 5, 0]) == [False, False]  # though their boxes overlap


def test_neighbours_along_an_edge_never_count_however_sharp_the_fold():
    for height in (1.0, 1e-9, 0.0, -1.0):
        assert marked([*FLOOR, [1.0, 1, height]], [[0, 1, 2], [1, 0, 3]]) == [False, False]


def test_neighbours_at_a_corner_count_where_they_cut_into_each_other():
    faces = [[0, 1, 2], [0, 3, 4]]
    assert marked([*FLOOR, [1.0, 1, -1], [1, 1, 1]], faces) == [True, True]
    assert marked([*FLOOR, [-1.0, -1, -1], [-1, -1, 1]], faces) == [False, False]
    assert marked([*FLOOR, [1.0, 1, 0.5], [1, 1, 1]], faces) == [False, False]
    assert marked([*FLOOR, [-4.0, 0, 0], [0, -4, 0]], faces) == [False, False]  # one plane


def test_the_common_corner_may_be_any_of_either_face():
    points = [*FLOOR, [1.0, 1, -1], [1, 1, 1]]
    for turn in range(3):
        for other in range(3):
            faces = [np.roll([0, 1, 2], turn), np.roll([0, 3, 4], other)]
            assert marked(points, faces) == [True, True]
            assert marked(points, [face[::-1] for face in faces]) == [True, True]


def test_a_face_listed_twice_counts():
    assert marked(FLOOR, [[0, 1, 2], [1, 2, 0]]) == [True, True]


def test_a_face_without_area_never_counts():
    assert two([1.0, 1, -1], [1, 1, 0], [1, 1, 1]) == [False, False]
    assert marked([*FLOOR, [1.0, 1, -1], [1, 1, -1]], [[0, 1, 2], [0, 3, 4]]) == [False, False]


def test_every_face_is_marked_under_its_own_number():
    rng = np.random.default_rng(0)
    apart = rng.permutation(30)[:, None, None] * np.array([3.0, 0, 0])
    triangles = apart + rng.random((30, 3, 3))
    middle, normal = triangles[4].mean(0), np.cross(*(triangles[4, 1:] - triangles[4, 0]))
    triangles[17] = middle + np.stack([normal, -normal, normal + 0.1])
    points = triangles.reshape(-1, 3)
    found = marked(points, np.arange(90).reshape(30, 3))
    assert [face for face, mark in enumerate(found) if mark] == [4, 17]


@pytest.mark.parametrize("workers", [1, 2])
def test_meshes_are_judged_one_by_one(workers):
    rng = np.random.default_rng(1)
    meshes = rng.random((20, 30, 3)) * rng.choice([1.0, 20.0], (20, 1, 1))
    faces = rng.permutation(30).reshape(10, 3)
    together = self_intersecting_faces(meshes, faces, workers)
    alone = [self_intersecting_faces(mesh[None], faces)[0] for mesh in meshes]
    np.testing.assert_array_equal(together, alone)
    assert 0 < together.mean() < 1


def test_a_mesh_of_one_face_or_none_is_whole():
    assert marked(FLOOR, [[0, 1, 2]]) == [False]
    assert self_intersecting_faces(np.zeros((2, 3, 3)), np.empty((0, 3), int)).shape == (2, 0)
    assert self_intersecting_faces(np.empty((0, 3, 3)), np.array([[0, 1, 2]])).shape == (0, 1)


def test_vertices_that_are_not_finite_are_refused():
    meshes = np.zeros((3, 3, 3))
    meshes[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match=r"1 of 3 meshes .* the first is number 1"):
        self_intersecting_faces(meshes, np.array([[0, 1, 2]]))
