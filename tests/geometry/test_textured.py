import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rasterizer import rasterize, silhouette
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.geometry.textured import lit_corners, render_textured
from hand_pipeline.geometry.topology import EdgeFaces, edge_faces

CAMERA = torch.tensor([[100.0, 0.0, 20.0], [0.0, 100.0, 16.0], [0.0, 0.0, 1.0]])
SIZE = (32, 40)
LIGHT = torch.tensor([[0.4, 0.7, 1.0, 0.9, 0.8, 0.9, 1.0, 1.1, -0.3, -0.4, -0.8]])
SQUARE = torch.tensor([[0, 2, 1], [0, 3, 2]])  # outwards is towards the camera


def square(x: float, y: float, side: float, depth: float) -> Tensor:
    """Corners (4, 3) of a square that looks at the camera; place and side in pixels."""
    pixels = torch.tensor([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])
    flat = (pixels - CAMERA[:2, 2]) / 100 * depth
    return torch.cat([flat, torch.full((4, 1), depth)], 1)


def hands(batch: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, EdgeFaces]:
    """Vertices, cameras and faces of open hands seen from all sides."""
    generator = torch.Generator().manual_seed(seed)
    hand = ManoHand()
    pose = axis_angle_to_matrix(torch.randn(batch, 16, 3, generator=generator) * 0.3)
    with torch.no_grad():
        vertices = hand(pose, torch.zeros(batch, 10)).vertices
    vertices = vertices - vertices.mean(1, keepdim=True) + torch.tensor([0.0, 0.0, 0.6])
    camera = torch.tensor([[2.0 * size, 0, size / 2], [0, 2.0 * size, size / 2], [0, 0, 1]])
    return vertices, camera.expand(batch, 3, 3), hand.faces, edge_faces(hand.faces)


def test_a_square_has_the_colour_that_the_formula_of_its_light_gives() -> None:
    reflectance = torch.tensor([0.5, 0.4, 0.3])
    rgb, alpha = render_textured(
        square(8, 6, 20, 0.5)[None], SQUARE, reflectance.expand(1, 4, 3), LIGHT,
        CAMERA[None], SIZE, edge_faces(SQUARE),
    )  # fmt: skip
    ambient, lamp, direction = LIGHT[0, 2:5], LIGHT[0, 5:8], LIGHT[0, 8:]
    cosine = max(0.0, float(direction @ torch.tensor([0.0, 0.0, -1.0])))
    expected = reflectance * (0.4 * ambient + 0.7 * lamp * cosine)
    torch.testing.assert_close(rgb[0, :, 16, 18], expected)
    assert alpha[0, 16, 18] == 1
    assert alpha[0, 2, 2] == 0


def test_a_face_seen_from_behind_is_lit_from_the_side_of_the_camera() -> None:
    arguments = (torch.full((1, 4, 3), 0.5), LIGHT)
    vertices = square(8, 6, 20, 0.5)[None]
    front = lit_corners(vertices, SQUARE, *arguments)
    behind = lit_corners(vertices, SQUARE[:, [0, 2, 1]], *arguments)
    torch.testing.assert_close(behind, front)


def test_the_picture_is_premultiplied_with_the_colour_of_the_edge_outside() -> None:
    vertices = square(8.3, 6.3, 20, 0.5)[None]
    light = torch.tensor([[1.0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]])
    colours = torch.tensor([0.2, 0.4, 0.8]).expand(1, 4, 3)
    rgb, alpha = render_textured(vertices, SQUARE, colours, light, CAMERA[None], SIZE)
    torch.testing.assert_close(rgb[0], alpha[0] * colours[0, 0, :, None, None])
    expected = torch.tensor([0.1, 0.6])  # pixel centres 0.8 outside, 0.2 inside
    torch.testing.assert_close(alpha[0, 16, 7:9], expected, atol=1e-4, rtol=0)


def test_the_picture_changes_without_jumps_when_the_outline_moves() -> None:
    steps = torch.arange(150)[:, None, None] * torch.tensor([0.01, 0.004, 0.0]) / 100 * 0.5
    vertices = square(8.3, 6.3, 20, 0.5) + steps  # a hundredth of a pixel each
    colours = torch.rand(1, 4, 3, generator=torch.Generator().manual_seed(0)).expand(150, 4, 3)
    rgb, alpha = render_textured(
        vertices, SQUARE, colours, LIGHT.expand(150, 11), CAMERA.expand(150, 3, 3), SIZE
    )
    for picture in (rgb, alpha):
        assert picture.diff(dim=0).abs().max() < 0.02


def test_edges_inside_the_outline_leave_alpha_alone() -> None:
    large, small = square(5.3, 4.3, 24, 0.6), square(6.2, 5.2, 18, 0.5)
    faces = torch.cat([SQUARE, SQUARE + 4])
    for inner in (small, small * torch.tensor([0.7 / 0.5])):  # in front of it, and behind it
        both = torch.cat([large, inner])[None]
        found = rasterize(both, faces, CAMERA[None], SIZE)
        alpha = silhouette(found, both, faces, CAMERA[None], edge_faces(faces))
        alone = rasterize(large[None], SQUARE, CAMERA[None], SIZE)
        expected = silhouette(alone, large[None], SQUARE, CAMERA[None], edge_faces(SQUARE))
        torch.testing.assert_close(alpha, expected, atol=1e-4, rtol=0)


def test_alpha_is_the_distance_to_the_outline_of_the_covered_area() -> None:
    vertices, camera, faces, topology = hands(2, 64)
    found = rasterize(vertices, faces, camera, (64, 64))
    alpha = silhouette(found, vertices, faces, camera, topology)
    mask = (found >= 0).numpy()
    finer = camera * torch.tensor([12.0, 12.0, 1.0])[:, None]
    fine = (rasterize(vertices, faces, finer, (768, 768)) >= 0).numpy()
    for image in range(2):
        far = distance_transform_edt(fine[image]) - distance_transform_edt(~fine[image])
        centres = far.reshape(64, 12, 64, 12)[:, 5:7, :, 5:7].mean((1, 3)) / 12
        expected = np.clip(0.5 + 0.5 * centres, 0, 1)
        error = np.abs(alpha[image].numpy() - expected)[mask[image] | (expected > 0)]
        assert np.quantile(error, 0.99) < 0.07
        assert error.mean() < 0.01


def test_the_rim_of_a_surface_is_an_outline_from_both_sides() -> None:
    for faces in (SQUARE, SQUARE[:, [0, 2, 1]]):
        vertices = square(8.3, 6.3, 20, 0.5)[None].requires_grad_(True)
        _, alpha = render_textured(
            vertices, faces, torch.full((1, 4, 3), 0.5), LIGHT, CAMERA[None], SIZE
        )
        alpha.sum().backward()
        # a pixel of size 5 mm: growing the square by one pixel adds its 20 pixels a side
        assert vertices.grad[0, [1, 2], 0].sum() == pytest.approx(20 * 100 / 0.5, rel=0.02)


def gradients(arguments: list[Tensor], faces: Tensor, topology: EdgeFaces) -> list[Tensor]:
    """Pictures, and gradients of a sum of squares in all arguments."""
    leaves = [argument.clone().requires_grad_(True) for argument in arguments]
    rgb, alpha = render_textured(
        leaves[0], faces, leaves[1], leaves[2], leaves[3], (48, 48), topology
    )
    loss = rgb.square().sum() + alpha.square().sum()
    return [rgb.detach(), alpha.detach(), *torch.autograd.grad(loss, leaves)]


def arguments_of(batch: int) -> tuple[list[Tensor], Tensor, EdgeFaces]:
    vertices, camera, faces, topology = hands(batch, 48)
    colours = torch.rand(vertices.shape, generator=torch.Generator().manual_seed(1))
    return [vertices, colours, LIGHT.repeat(batch, 1), camera], faces, topology


def test_a_large_batch_is_drawn_in_pieces_that_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, faces, topology = arguments_of(3)
    whole = gradients(arguments, faces, topology)
    monkeypatch.setattr("hand_pipeline.geometry.textured._MAX_PIXELS", {"cpu": 2 * 48 * 48 + 5})
    pieces = gradients(arguments, faces, topology)
    # not to the bit: kernels take the tail of a tensor otherwise than its middle
    torch.testing.assert_close(pieces[:2], whole[:2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(pieces[2:], whole[2:], rtol=1e-4, atol=1e-3)


def test_many_pairs_of_edge_and_pixel_are_judged_in_several_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arguments, faces, topology = arguments_of(2)
    whole = gradients(arguments, faces, topology)
    monkeypatch.setattr("hand_pipeline.geometry.outline.MAX_FRAGMENTS", {"cpu": 1000})
    chunks = gradients(arguments, faces, topology)
    torch.testing.assert_close(chunks[:2], whole[:2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(chunks[2:], whole[2:], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("place", ["inside", "outside", "behind", "across"])
def test_the_way_of_devices_that_list_no_pixels_draws_the_same(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, faces, topology = arguments_of(2)
    arguments[0] = arguments[0] + PLACES[place]
    listed = gradients(arguments, faces, topology)
    for module in ("outline", "rasterizer"):
        monkeypatch.setattr(f"hand_pipeline.geometry.{module}.lists_are_cheap", lambda _: False)
    for one, other in zip(gradients(arguments, faces, topology), listed):
        assert torch.isfinite(one).all()
        # of two edges equally near, rounding decides: single pixels may differ
        assert (one - other).norm() <= 0.01 * other.norm()


PLACES = {
    "inside": torch.tensor([0.0, 0.0, 0.0]),
    "outside": torch.tensor([2.0, 0.0, 0.0]),
    "behind": torch.tensor([0.0, 0.0, -1.2]),
    "across": torch.tensor([0.0, 0.0, -0.6]),  # the camera stands in the palm
    "on it": torch.tensor([0.0, 0.0, -0.55]),
}


@pytest.mark.parametrize("place", PLACES)
def test_degenerate_hands_have_finite_pictures_and_gradients(place: str) -> None:
    arguments, faces, topology = arguments_of(4)
    centre, scale = torch.tensor([0.0, 0.0, 0.6]), torch.tensor([1.0, 0.0, 1e-6, 1e3])
    arguments[0] = (arguments[0] - centre) * scale[:, None, None] + centre + PLACES[place]
    for tensor in gradients(arguments, faces, topology):
        assert torch.isfinite(tensor).all()


def test_faces_without_area_change_nothing() -> None:
    vertices = square(8.3, 6.3, 20, 0.5)[None].requires_grad_(True)
    faces = torch.cat([SQUARE, torch.tensor([[0, 0, 1], [2, 2, 2], [1, 3, 1]])])
    topology = edge_faces(SQUARE)
    pictures = []
    for chosen in (SQUARE, faces):
        rgb, alpha = render_textured(
            vertices, chosen, torch.full((1, 4, 3), 0.5), LIGHT, CAMERA[None], SIZE, topology
        )
        pictures.append(rgb)
        (gradient,) = torch.autograd.grad(rgb.sum() + alpha.sum(), vertices)
        assert torch.isfinite(gradient).all()
    torch.testing.assert_close(*pictures)


def test_colours_outside_the_hand_have_no_gradient_and_the_dark_side_takes_no_lamp() -> None:
    vertices = square(8.3, 6.3, 20, 0.5)[None]
    light = LIGHT.clone()
    light[:, 8:] = torch.tensor([0.0, 0.0, 1.0])  # from behind the square
    light.requires_grad_(True)
    rgb, _ = render_textured(vertices, SQUARE, torch.ones(1, 4, 3), light, CAMERA[None], SIZE)
    rgb.sum().backward()
    assert light.grad[0, 0] > 0
    assert (light.grad[0, [1, 5, 6, 7, 8, 9, 10]] == 0).all()


def test_half_precision_input_is_drawn_in_full_precision() -> None:
    arguments, faces, topology = arguments_of(1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rgb, _ = render_textured(
            arguments[0], faces, arguments[1].bfloat16(), arguments[2], arguments[3], (48, 48),
            topology,
        )  # fmt: skip
    assert rgb.dtype == torch.float32
