import math

import pytest
import torch
import trimesh

from hand_pipeline.geometry import topology
from hand_pipeline.geometry.mano import ManoHand

SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])
TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
CORNERS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


@pytest.fixture(scope="module")
def hand() -> ManoHand:
    return ManoHand()


def icosphere() -> tuple[torch.Tensor, torch.Tensor]:
    mesh = trimesh.creation.icosphere(subdivisions=2)
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)


def test_edges_of_two_triangles_share_one() -> None:
    expected = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [2, 3]])
    assert torch.equal(topology.edges(SQUARE), expected)
    found = topology.edge_faces(SQUARE)
    assert torch.equal(found.edges, expected)
    assert found.faces.tolist() == [[0, -1], [0, 1], [1, -1], [0, -1], [1, -1]]
    assert found.opposite.tolist() == [[2, -1], [1, 3], [2, -1], [0, -1], [0, -1]]


def test_edge_faces_of_the_hand_are_the_faces_that_hold_the_edge(hand: ManoHand) -> None:
    ends, sides, opposite = topology.edge_faces(hand.faces)
    holding: dict[tuple[int, int], list[int]] = {}
    for face, corners in enumerate(hand.faces.tolist()):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            holding.setdefault(tuple(sorted((corners[a], corners[b]))), []).append(face)
    assert [tuple(edge) for edge in ends.tolist()] == sorted(holding)
    for edge, found, across in zip(ends.tolist(), sides.tolist(), opposite.tolist()):
        expected = holding[tuple(edge)]
        assert found == expected + [-1] * (2 - len(expected))
        for face, vertex in zip(expected, across):
            assert set(hand.faces[face].tolist()) == {*edge, vertex}


def test_three_faces_on_one_edge_are_refused() -> None:
    fin = torch.cat([SQUARE, torch.tensor([[0, 2, 4]])])
    with pytest.raises(ValueError, match="1 edges have more than two faces"):
        topology.edge_faces(fin)


def test_the_wrist_is_the_hands_only_hole(hand: ManoHand) -> None:
    loop = topology.boundary_loop(hand.faces).tolist()
    assert len(loop) == len(set(loop)) == 16
    directed = {
        (corners[a], corners[b])
        for corners in hand.faces.tolist()
        for a, b in ((0, 1), (1, 2), (2, 0))
    }
    assert all(edge in directed for edge in zip(loop, loop[1:] + loop[:1]))


def test_a_closed_mesh_has_no_hole() -> None:
    with pytest.raises(ValueError, match="it is closed"):
        topology.boundary_loop(TETRAHEDRON)


def test_two_holes_are_refused() -> None:
    apart = torch.cat([SQUARE, SQUARE + 4])
    with pytest.raises(ValueError, match="only 4 of its 8 rim edges"):
        topology.boundary_loop(apart)


def test_a_closed_wrist_makes_the_hand_watertight(hand: ManoHand) -> None:
    faces = topology.close_wrist(hand.faces)
    assert len(faces) == 1538 + 14
    mesh = trimesh.Trimesh(hand.template.numpy(), faces.numpy(), process=False)
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert 1e-4 < mesh.volume < 1e-3  # 0.1 to 1 litre, and facing outwards


def test_normals_of_a_sphere_point_outwards() -> None:
    vertices, faces = icosphere()
    normals = topology.vertex_normals(vertices[None].repeat(2, 1, 1) * 0.1 + 3, faces)
    torch.testing.assert_close(normals, vertices[None].repeat(2, 1, 1), atol=0.03, rtol=0)


def test_normals_of_the_hand_agree_with_trimesh(hand: ManoHand) -> None:
    mesh = trimesh.Trimesh(hand.template.numpy(), hand.faces.numpy(), process=False)
    area = torch.tensor(mesh.area_faces[:, None] * mesh.face_normals)
    expected = torch.zeros(778, 3, dtype=torch.float64)
    for corner in range(3):
        expected.index_add_(0, hand.faces[:, corner], area)
    expected = expected / expected.norm(dim=1, keepdim=True)
    found = topology.vertex_normals(hand.template[None], hand.faces)[0]
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


def test_normal_of_a_face_without_area_is_finite_with_its_gradient() -> None:
    vertices = torch.zeros(1, 3, 3, requires_grad=True)
    normals = topology.vertex_normals(vertices, torch.tensor([[0, 1, 2]]))
    normals.sum().backward()
    assert vertices.grad is not None
    assert bool(normals.isfinite().all())
    assert bool(vertices.grad.isfinite().all())


def test_adjacency_is_the_edges_both_ways(hand: ManoHand) -> None:
    adjacency = topology.vertex_adjacency(hand.faces, 778)
    assert torch.equal(adjacency, adjacency.mT)
    assert torch.equal(adjacency.triu().nonzero(), topology.edges(hand.faces))


def test_subdivision_keeps_the_surface_closed_and_its_direction() -> None:
    matrix, faces = topology.loop_subdivision(TETRAHEDRON, 4)
    vertices = topology.subdivide(matrix, CORNERS[None])[0]
    mesh = trimesh.Trimesh(vertices.numpy(), faces.numpy(), process=False)
    assert len(vertices) == 4 + 6
    assert len(faces) == 16
    assert mesh.is_watertight
    assert mesh.volume > 0


def test_subdivision_agrees_with_trimesh() -> None:
    vertices, faces = icosphere()
    matrix, finer = topology.loop_subdivision(faces, len(vertices))
    found = topology.subdivide(matrix, vertices[None])[0]
    expected, _ = trimesh.remesh.subdivide_loop(vertices.numpy(), faces.numpy(), iterations=1)
    assert len(found) == len(expected)
    distance = torch.cdist(found.double(), torch.tensor(expected)).min(1).values
    assert float(distance.max()) < 1e-5
    assert len(finer) == 4 * len(faces)


def test_subdivision_keeps_planes_and_straight_rims() -> None:
    """A flat mesh stays flat, and what is linear in position stays linear away from the rim."""
    count = 7
    y, x = torch.meshgrid(torch.arange(count), torch.arange(count), indexing="ij")
    corner = (y * count + x)[:-1, :-1].reshape(-1)
    lower = torch.stack([corner, corner + 1, corner + count], dim=1)
    upper = torch.stack([corner + 1, corner + count + 1, corner + count], dim=1)
    faces = torch.cat([lower, upper])
    vertices = torch.stack([x.reshape(-1), y.reshape(-1), 0 * x.reshape(-1)], dim=1).float()
    matrix, _ = topology.loop_subdivision(faces, count * count)
    torch.testing.assert_close(matrix.to_dense().sum(1), torch.ones(matrix.shape[0]))
    found = topology.subdivide(matrix, vertices[None])[0]
    assert float(found[:, 2].abs().max()) == 0
    inner = (vertices[:, :2] > 0).all(1) & (vertices[:, :2] < count - 1).all(1)
    torch.testing.assert_close(found[: count * count][inner], vertices[inner])
    rim_middle = (vertices[:, 1] == 0) & (vertices[:, 0] > 1) & (vertices[:, 0] < count - 2)
    torch.testing.assert_close(found[: count * count][rim_middle], vertices[rim_middle])


def test_subdivided_hand_is_smoother_and_keeps_its_wrist(hand: ManoHand) -> None:
    matrix, faces = topology.loop_subdivision(hand.faces, 778)
    vertices = topology.subdivide(matrix, hand.template[None])
    assert vertices.shape == (1, 778 + 2315, 3)
    assert len(topology.boundary_loop(faces)) == 32
    assert float((vertices[0, :778] - hand.template).norm(dim=1).max()) < 0.01

    def roughness(points: torch.Tensor, corners: torch.Tensor) -> float:
        sides = topology.edge_faces(corners).faces
        a, b, c = points[corners].unbind(1)
        normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
        inner = sides[:, 1] >= 0
        cosine = (normals[sides[inner, 0]] * normals[sides[inner, 1]]).sum(1)
        return math.degrees(float(cosine.clamp(-1, 1).acos().mean()))

    assert roughness(vertices[0], faces) < 0.6 * roughness(hand.template, hand.faces)


def test_children_of_a_face_follow_one_another() -> None:
    _, finer = topology.loop_subdivision(SQUARE, 4)
    for face, corners in enumerate(SQUARE.tolist()):
        children = finer[4 * face : 4 * face + 4]
        assert set(corners) <= set(children.flatten().tolist())
