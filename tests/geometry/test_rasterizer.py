import numpy as np
import pytest
import torch

from hand_pipeline.geometry.rasterizer import (
    interpolate,
    rasterize,
    render,
    silhouette,
)
from hand_pipeline.geometry.topology import edge_faces
from hand_pipeline.geometry.visibility import NEAR

CAMERA = torch.tensor([[100.0, 0.0, 20.0], [0.0, 100.0, 16.0], [0.0, 0.0, 1.0]])
SIZE = (32, 40)


def on_image_plane(pixels: list[list[float]], depths: list[float]) -> torch.Tensor:
    """One mesh (1, V, 3) whose vertices project to `pixels` at `depths`."""
    depth = torch.tensor(depths, dtype=torch.float64)[:, None]
    homogeneous = torch.cat([torch.tensor(pixels, dtype=torch.float64), torch.ones_like(depth)], 1)
    return (homogeneous @ torch.linalg.inv(CAMERA.double()).T * depth).float()[None]


def random_soup(batch: int, triangles: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Triangles of all sizes and orientations, some behind the camera, some without area."""
    generator = torch.Generator().manual_seed(seed)
    centre = torch.randn(batch, triangles, 1, 3, generator=generator) * 0.15
    corners = centre + torch.randn(batch, triangles, 3, 3, generator=generator) * 0.06
    corners[..., 2] += 0.6
    corners[:, ::17, 0, 2] = -0.1
    corners[:, ::13, 1] = corners[:, ::13, 0]
    return corners.flatten(1, 2), torch.arange(triangles * 3).view(-1, 3)


def sphere(rings: int = 10, segments: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit sphere, outward faces: (V, 3), (F, 3)."""
    polar = torch.linspace(0, np.pi, rings + 1)[1:-1, None]
    around = torch.arange(segments) * (2 * np.pi / segments)
    ring = torch.stack(
        [polar.sin() * around.cos(), polar.sin() * around.sin(), polar.cos().expand(-1, segments)],
        -1,
    ).flatten(0, 1)
    vertices = torch.cat([ring, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])])
    faces = []
    for i in range(segments):
        j = (i + 1) % segments
        for r in range(rings - 2):
            a, b = r * segments + i, r * segments + j
            c, d = a + segments, b + segments
            faces += [[a, c, b], [b, c, d]]
        last = (rings - 2) * segments
        faces += [[len(ring), i, j], [len(ring) + 1, last + j, last + i]]
    return vertices, torch.tensor(faces)


@pytest.mark.parametrize("seed", range(3))
def test_all_backends_agree_on_every_pixel(seed: int) -> None:
    vertices, faces = random_soup(batch=3, triangles=150, seed=seed)
    cameras = CAMERA.expand(3, 3, 3)
    dense = rasterize(vertices, faces, cameras, SIZE, "dense")
    assert (dense >= 0).float().mean() > 0.3
    for backend in ("fragments", "numba"):
        assert torch.equal(rasterize(vertices, faces, cameras, SIZE, backend), dense)


def test_equal_depths_go_to_the_lower_face_in_every_backend() -> None:
    triangle = on_image_plane([[5, 5], [35, 5], [20, 30]], [0.5, 0.5, 0.5])
    faces = torch.tensor([[1, 2, 0], [0, 1, 2], [2, 1, 0]])
    for backend in ("fragments", "numba", "dense"):
        found = rasterize(triangle, faces, CAMERA[None], SIZE, backend)
        assert set(found.unique().tolist()) == {-1, 0}


def test_a_triangle_covers_exactly_the_pixel_centres_inside_it() -> None:
    pixels = [[3.2, 4.1], [36.7, 9.4], [14.9, 28.3]]
    found = rasterize(
        on_image_plane(pixels, [0.4, 0.7, 0.5]), torch.tensor([[0, 1, 2]]), CAMERA[None], SIZE
    )
    x, y = np.meshgrid(np.arange(SIZE[1]) + 0.5, np.arange(SIZE[0]) + 0.5)
    inside = np.ones(SIZE, bool)
    for (ax, ay), (bx, by) in zip(pixels, pixels[1:] + pixels[:1]):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0
    assert inside.sum() > 100
    assert np.array_equal(found[0].numpy() == 0, inside)


def test_no_pixel_falls_between_neighbouring_faces() -> None:
    vertices, faces = sphere()
    placed = (vertices * 0.05 + torch.tensor([0.01, -0.003, 0.5]))[None]
    mask = (
        rasterize(placed, faces, CAMERA[None] * torch.tensor([[2.0], [2.0], [1.0]]), SIZE)[0] >= 0
    )
    for line in mask.numpy():
        columns = np.flatnonzero(line)
        if len(columns):
            assert columns[-1] - columns[0] + 1 == len(columns)


def test_the_nearest_face_wins() -> None:
    vertices = torch.cat(
        [
            on_image_plane([[0, 0], [40, 0], [0, 40]], [0.8] * 3),
            on_image_plane([[0, 0], [20, 0], [0, 20]], [0.4] * 3),
        ],
        1,
    )
    found = rasterize(vertices, torch.tensor([[0, 1, 2], [3, 4, 5]]), CAMERA[None], SIZE)[0]
    assert found[2, 2] == 1
    assert found[2, 30] == 0


def test_faces_at_or_behind_the_near_plane_are_left_out_whole() -> None:
    vertices = on_image_plane([[5, 5], [35, 5], [20, 30]], [0.5, 0.5, NEAR / 2])
    for backend in ("fragments", "numba", "dense"):
        found = rasterize(vertices, torch.tensor([[0, 1, 2]]), CAMERA[None], SIZE, backend)
        assert (found == -1).all()


def test_many_fragments_are_drawn_in_several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = random_soup(batch=4, triangles=60)
    cameras = CAMERA.expand(4, 3, 3)
    whole = rasterize(vertices, faces, cameras, SIZE, "fragments")
    monkeypatch.setattr("hand_pipeline.geometry.visibility.MAX_FRAGMENTS", {"cpu": 500})
    assert torch.equal(rasterize(vertices, faces, cameras, SIZE, "fragments"), whole)


def test_several_threads_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = random_soup(batch=4, triangles=60)
    cameras = CAMERA.expand(4, 3, 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = rasterize(vertices, faces, cameras, SIZE, "numba")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(rasterize(vertices, faces, cameras, SIZE, "numba"), alone)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": (0, 5)}, "image_size"),
        ({"backend": "opengl"}, "backend"),
        ({"faces": torch.tensor([[0, 1, 9]])}, "faces name vertices"),
        ({"vertices": torch.full((1, 3, 3), torch.nan)}, "finite"),
    ],
)
def test_impossible_input_is_refused(change: dict[str, object], message: str) -> None:
    arguments = {
        "vertices": on_image_plane([[5, 5], [35, 5], [20, 30]], [0.5, 0.5, 0.5]),
        "faces": torch.tensor([[0, 1, 2]]),
        "intrinsics": CAMERA[None],
        "image_size": SIZE,
    }
    with pytest.raises(Exception, match=message):
        rasterize(**(arguments | change))


def test_attributes_and_depth_equal_those_of_the_ray_through_the_pixel() -> None:
    vertices = on_image_plane([[3, 4], [37, 9], [15, 30]], [0.3, 1.5, 0.6])
    faces = torch.tensor([[0, 1, 2]])
    found = rasterize(vertices, faces, CAMERA[None], SIZE)
    position, depth = interpolate(found, vertices, faces, CAMERA[None], vertices)
    a, b, c = vertices[0].double()
    normal = torch.linalg.cross(b - a, c - a)
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    ray = torch.stack([x, y, torch.ones_like(x)], -1).double()
    ray = ray @ torch.linalg.inv(CAMERA.double()).T
    hit = ray * ((a @ normal) / (ray @ normal))[..., None]
    covered = found[0] >= 0
    assert covered.sum() > 100
    torch.testing.assert_close(
        position[0].permute(1, 2, 0)[covered].double(), hit[covered], atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(depth[0][covered], position[0, 2][covered])
    assert (position[0][:, ~covered] == 0).all()
    assert (depth[0][~covered] == 0).all()


def test_interpolation_has_the_gradient_of_its_values() -> None:
    vertices, faces = random_soup(batch=2, triangles=6, seed=4)
    cameras = (CAMERA * torch.tensor([[0.25], [0.25], [1.0]])).expand(2, 3, 3)
    found = rasterize(vertices, faces, cameras, (8, 10))
    assert (found >= 0).sum() > 10
    attributes = torch.rand(2, vertices.shape[1], 2, dtype=torch.float64, requires_grad=True)
    positions = vertices.double().requires_grad_(True)

    def draw(p: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return interpolate(found, p, faces, cameras.double(), a)

    assert torch.autograd.gradcheck(draw, (positions, attributes), atol=1e-5, eps=1e-7)


def test_vertices_on_the_camera_plane_leave_gradients_finite() -> None:
    vertices = on_image_plane([[5, 5], [35, 5], [20, 30], [0, 0]], [0.5, 0.5, 0.5, 0.5])
    vertices[0, 3, 2] = 0.0
    vertices.requires_grad_(True)
    faces = torch.tensor([[0, 1, 2], [1, 2, 3]])
    found = rasterize(vertices, faces, CAMERA[None], SIZE)
    picture, depth = interpolate(found, vertices, faces, CAMERA[None], vertices)
    alpha = silhouette(found, vertices, faces, CAMERA[None], edge_faces(faces))
    (picture.sum() + depth.sum() + alpha.sum()).backward()
    assert torch.isfinite(vertices.grad).all()


def test_the_silhouette_has_the_gradient_of_its_values() -> None:
    corners = on_image_plane([[8.35, 7.1], [31.6, 9.2], [28.4, 26.7], [6.2, 22.9]], [0.5] * 4)
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    topology = edge_faces(faces)
    weights = torch.rand(SIZE, generator=torch.Generator().manual_seed(0)).double()

    def score(vertices: torch.Tensor) -> torch.Tensor:
        found = rasterize(vertices.detach(), faces, CAMERA[None], SIZE)
        alpha = silhouette(found, vertices, faces, CAMERA[None].double(), topology)
        return (alpha[0] * weights).sum()

    vertices = corners.double().requires_grad_(True)
    assert torch.autograd.gradcheck(score, (vertices,), eps=1e-8, atol=1e-2, rtol=1e-4)


def test_the_area_of_the_silhouette_is_the_area_of_the_outline() -> None:
    vertices, faces = sphere(20, 40)
    placed = (vertices * 0.05 + torch.tensor([0.0, 0.0, 0.5]))[None]
    found = rasterize(placed, faces, CAMERA[None], SIZE)
    alpha = silhouette(found, placed, faces, CAMERA[None], edge_faces(faces))
    radius = 100 * 0.05 / np.sqrt(0.5**2 - 0.05**2)
    assert alpha.sum().item() == pytest.approx(np.pi * radius**2, rel=0.01)
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_a_rendered_sphere_is_brighter_towards_the_lamp() -> None:
    vertices, faces = sphere()
    placed = (vertices * 0.05 + torch.tensor([0.0, 0.0, 0.5]))[None]
    picture, alpha = render(placed, faces, CAMERA[None], SIZE, torch.ones(1, len(vertices), 3))
    assert alpha[0, 16, 20] == 1
    assert alpha[0, 0, 0] == 0
    assert picture[0, 0, 12, 16] > picture[0, 0, 20, 24] > 0


@pytest.mark.slow
def test_gradient_descent_finds_a_displaced_mesh() -> None:
    vertices, faces = sphere()
    stretched = vertices * torch.tensor([0.04, 0.06, 0.05])
    topology = edge_faces(faces)
    colors = (0.5 + 0.4 * vertices)[None]

    def draw(offset: torch.Tensor) -> torch.Tensor:
        placed = (stretched + offset)[None]
        found = rasterize(placed.detach(), faces, CAMERA[None], SIZE)
        rgb, _ = interpolate(found, placed, faces, CAMERA[None], colors)
        return rgb * silhouette(found, placed, faces, CAMERA[None], topology)[:, None]

    truth = torch.tensor([0.0, 0.0, 0.5])
    with torch.no_grad():
        wanted = draw(truth)
    offset = torch.tensor([0.02, -0.015, 0.53], requires_grad=True)
    optimizer = torch.optim.Adam([offset], lr=2e-3)
    for _ in range(120):
        optimizer.zero_grad()
        (draw(offset) - wanted).abs().mean().backward()
        optimizer.step()
    assert (offset.detach() - truth).norm() < 2e-3
