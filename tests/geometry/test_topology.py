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
