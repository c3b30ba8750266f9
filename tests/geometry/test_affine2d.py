import math

import pytest
import torch
from torch.nn import functional as F

from hand_pipeline.geometry import affine2d


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blob(centre: torch.Tensor, size: tuple[int, int], sigma: float) -> torch.Tensor:
    """One Gaussian an image, seen by pixel centres: (B, 1, H, W)."""
    y = torch.arange(size[0]) + 0.5
    x = torch.arange(size[1]) + 0.5
    dx = (x[None, None] - centre[:, :1, None]).square()
    dy = (y[None, :, None] - centre[:, 1:, None]).square()
    return torch.exp(-(dx + dy) / (2 * sigma**2))[:, None]


def centroid(images: torch.Tensor) -> torch.Tensor:
    y = torch.arange(images.shape[-2]) + 0.5
    x = torch.arange(images.shape[-1]) + 0.5
    mass = images.sum((1, 2, 3))
    along_x, along_y = images.sum((1, 2)) @ x, images.sum((1, 3)) @ y
    return torch.stack([along_x, along_y], dim=1) / mass[:, None]


def random_views(batch: int, size: int, target: int, smallest: float, largest: float) -> tuple:
    """Crop, turn and stretch about a point that stays near the target's middle."""
    rand = torch.rand(batch, 6, generator=seeded(1))
    centre = size * (0.4 + 0.2 * rand[:, :2])
    scale = smallest * (largest / smallest) ** rand[:, 2:3]
    stretch = torch.cat([scale, scale * (0.8 + 0.4 * rand[:, 3:4])], dim=1)
    middle = torch.full((batch, 2), target / 2)
    angle = (rand[:, 4] - 0.5) * 2 * math.pi
    matrix = (
        affine2d.rotation(angle, middle)
        @ affine2d.translation(middle)
        @ affine2d.scaling(stretch)
        @ affine2d.translation(-centre)
    )
    return matrix, centre + 3 * (rand[:, 4:] - 0.5)


def test_constructors_move_points_as_they_say() -> None:
    points = torch.tensor([[[3.0, 5.0]]])
    cases = {
        (4.0, 7.0): affine2d.translation(torch.tensor([[1.0, 2.0]])),
        (6.0, 15.0): affine2d.scaling(torch.tensor([[2.0, 3.0]])),
        # A quarter turn from +x to +y about (3, 3): (0, 2) goes to (-2, 0).
        (1.0, 3.0): affine2d.rotation(torch.tensor([math.pi / 2]), torch.tensor([[3.0, 3.0]])),
        (56.0, 112.0): affine2d.crop_matrix(torch.tensor([[2.0, 4.0, 6.0, 6.0]]), 224),
        (50.0, 5.0): affine2d.crop_matrix(torch.tensor([[2.0, 4.0, 4.0, 6.0]]), (10, 100)),
    }
    for expected, matrix in cases.items():
        found = affine2d.apply_affine(matrix, points)
        torch.testing.assert_close(found, torch.tensor([[expected]]), atol=1e-5, rtol=0)


def test_compose_does_the_first_map_first() -> None:
    shift = affine2d.translation(torch.tensor([[1.0, 2.0]]))
    double = affine2d.scaling(torch.tensor([[2.0, 2.0]]))
    matrix = affine2d.compose(shift, double, shift)
    found = affine2d.apply_affine(matrix, torch.zeros(1, 1, 2))
    torch.testing.assert_close(found, torch.tensor([[[3.0, 6.0]]]))


def test_invert_undoes_a_map() -> None:
    matrix, _ = random_views(32, 200, 100, 0.2, 3.0)
    product = affine2d.invert(matrix) @ matrix
    torch.testing.assert_close(product, torch.eye(3).expand(32, 3, 3), atol=1e-4, rtol=0)
    points = torch.rand(32, 9, 2, generator=seeded(2)) * 200
    there = affine2d.apply_affine(matrix, points)
    back = affine2d.apply_affine(affine2d.invert(matrix), there)
    torch.testing.assert_close(back, points, atol=1e-3, rtol=0)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflection", "border"])
@pytest.mark.parametrize("size", [(64, 64), (37, 51)])
def test_the_identity_changes_nothing(padding_mode: str, size: tuple[int, int]) -> None:
    images = torch.rand(3, 3, *size, generator=seeded())
    eye = torch.eye(3).expand(3, 3, 3)
    found = affine2d.warp_images(images, eye, size, padding_mode)
    torch.testing.assert_close(found, images, atol=2e-5, rtol=0)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(
    ("source", "target", "smallest", "largest"),
    [(256, 112, 0.8, 3.0), (256, 112, 0.35, 0.8), (255, 112, 0.35, 0.8), (317, 64, 0.15, 0.3)],
)
def test_a_drawn_blob_lands_where_its_point_lands(
    source: int, target: int, smallest: float, largest: float, antialias: bool
) -> None:
    matrix, points = random_views(24, source, target, smallest, largest)
    # Wide enough to be smooth in the source and the target.
    sigma = 2.0 / smallest
    images = blob(points, (source, source), min(sigma, 12.0))
    largest_sigma = min(sigma, 12.0) * largest * 1.2
    if largest_sigma > target / 9:
        images = blob(points, (source, source), target / 9 / largest / 1.2)
    warped = affine2d.warp_images(images, matrix, (target, target), antialias=antialias)
    expected = affine2d.apply_affine(matrix, points[:, None])[:, 0]
    error = (centroid(warped) - expected).norm(dim=-1)
    assert float(error.max()) < 0.05


def test_each_image_gets_its_own_matrix() -> None:
    images = torch.rand(4, 1, 32, 32, generator=seeded())
    offset = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [-3.0, 4.0]])
    warped = affine2d.warp_images(images, affine2d.translation(offset), (32, 32))
    for image, moved, (dx, dy) in zip(images, warped, offset.int().tolist()):
        expected = torch.roll(image, (dy, dx), dims=(1, 2))[:, 6:-6, 6:-6]
        torch.testing.assert_close(moved[:, 6:-6, 6:-6], expected, atol=2e-5, rtol=0)


def test_padding_says_what_lies_outside() -> None:
    images = torch.rand(1, 2, 16, 20, generator=seeded())
    shift = affine2d.translation(torch.tensor([[5.0, 3.0]]))
    size = (26, 34)
    zeros = affine2d.warp_images(images, shift, size, "zeros", antialias=False)
    expected = F.pad(images, (5, 9, 3, 7))
    torch.testing.assert_close(zeros, expected, atol=2e-5, rtol=0)
    border = affine2d.warp_images(images, shift, size, "border", antialias=False)
    expected = F.pad(images, (5, 9, 3, 7), mode="replicate")
    torch.testing.assert_close(border, expected, atol=2e-5, rtol=0)
    reflection = affine2d.warp_images(images, shift, size, "reflection", antialias=False)
    # The edge pixel is repeated: the mirror stands on the image's edge.
    torch.testing.assert_close(reflection[0, :, 3:19, 4], images[0, :, :, 0], atol=2e-5, rtol=0)
    torch.testing.assert_close(reflection[0, :, 3:19, 0], images[0, :, :, 4], atol=2e-5, rtol=0)
    torch.testing.assert_close(reflection[0, :, 19, 5:25], images[0, :, 15], atol=2e-5, rtol=0)


@pytest.mark.parametrize("padding_mode", ["zeros", "reflection", "border"])
def test_warping_agrees_with_torch_outside_the_image(padding_mode: str) -> None:
    images = torch.rand(8, 3, 40, 48, generator=seeded())
    matrix, _ = random_views(8, 40, 60, 0.6, 1.0)
    found = affine2d.warp_images(images, matrix, (60, 60), padding_mode, antialias=False)
    centres = torch.stack(
        torch.meshgrid(torch.arange(60) + 0.5, torch.arange(60) + 0.5, indexing="xy"), dim=-1
    )
    centres = centres.reshape(1, -1, 2).expand(8, -1, -1)
    source = affine2d.apply_affine(torch.linalg.inv(matrix), centres)
    grid = (source / torch.tensor([48, 40]) * 2 - 1).unflatten(1, (60, 60))
    expected = F.grid_sample(images, grid, padding_mode=padding_mode, align_corners=False)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_scaling_down_averages_what_it_cannot_show() -> None:
    """A one-pixel checkerboard is grey from afar; plain bilinear sampling makes a moire of it."""
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    images = ((x + y) % 2).float().expand(6, 1, 256, 256)
    factors = torch.tensor([0.6, 0.5, 0.42, 0.3, 0.25, 0.2])[:, None]
    matrix = affine2d.scaling(factors.expand(6, 2))
    smooth = affine2d.warp_images(images, matrix, (50, 50), "border")
    rough = affine2d.warp_images(images, matrix, (50, 50), "border", antialias=False)
    assert float((smooth - 0.5).abs().max()) < 1e-4
    assert float((rough - 0.5).abs().max()) > 0.2


@pytest.mark.parametrize("factor", [0.3, 0.35, 0.45, 0.55])
def test_scaling_down_is_closer_to_an_exact_filter_than_plain_sampling(factor: float) -> None:
    images = F.avg_pool2d(torch.rand(2, 3, 257, 257, generator=seeded()), 2, 1)
    side = round(256 * factor)
    matrix = affine2d.scaling(torch.full((2, 2), side / 256))
    exact = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    size = (side, side)
    found = affine2d.warp_images(images, matrix, size, "border")
    rough = affine2d.warp_images(images, matrix, size, "border", antialias=False)
    error, rough_error = ((x - exact).square().mean().sqrt() for x in (found, rough))
    assert float(error) < 0.8 * float(rough_error)


def test_levels_of_the_pyramid_do_not_bleed_into_each_other() -> None:
    images = torch.ones(3, 1, 101, 77)
    factors = torch.tensor([0.4, 0.2, 0.09])[:, None]
    matrix = affine2d.scaling(factors.expand(3, 2))
    for size in ((24, 20), (60, 60)):
        found = affine2d.warp_images(images, matrix, size, "border")
        torch.testing.assert_close(found, torch.ones_like(found))


@pytest.mark.parametrize("padding_mode", ["reflection", "border"])
def test_halved_copies_have_the_same_surroundings(padding_mode: str) -> None:
    images = torch.rand(4, 3, 64, 96, generator=seeded())
    middle = torch.full((4, 2), 20.0)
    matrix = affine2d.rotation(torch.linspace(0, 3, 4), middle) @ affine2d.scaling(middle / 40)
    found = affine2d.warp_images(images, matrix, (40, 40), padding_mode)
    from_half = matrix @ affine2d.scaling(torch.full((4, 2), 2.0))
    expected = affine2d.warp_images(
        F.avg_pool2d(images, 2), from_half, (40, 40), padding_mode, antialias=False
    )
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_gradients_reach_the_images_and_the_matrix() -> None:
    images = torch.rand(2, 1, 64, 64, generator=seeded(), requires_grad=True)
    matrix = affine2d.scaling(torch.tensor([[0.4, 0.4], [1.1, 0.9]])).requires_grad_()
    affine2d.warp_images(images, matrix, (32, 32)).square().sum().backward()
    for gradient in (images.grad, matrix.grad):
        assert gradient is not None
        assert bool(gradient.isfinite().all())
        assert float(gradient.abs().sum()) > 0


def test_an_image_without_extent_in_the_target_stays_finite() -> None:
    images = torch.rand(1, 1, 64, 64, generator=seeded())
    found = affine2d.warp_images(images, affine2d.scaling(torch.full((1, 2), 1e-3)), (16, 16))
    assert bool(found.isfinite().all())
