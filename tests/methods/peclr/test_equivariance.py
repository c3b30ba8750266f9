import math

import torch
from torch.nn import functional as F

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.views import ViewConfig, ViewSampler
from hand_pipeline.geometry.affine2d import apply_affine, crop_matrix, rotation
from hand_pipeline.methods.peclr.equivariance import undo_view

SIDE, PHOTO = 32, (40, 48)


def view(angle: float, box: tuple[float, float, float, float]) -> torch.Tensor:
    """Photo pixels to the pixels of one view, as `ViewSampler` makes them."""
    middle = torch.full((1, 2), SIDE / 2)
    return rotation(torch.tensor([angle]), middle) @ crop_matrix(torch.tensor([box]), SIDE)


def test_a_view_of_the_whole_photo_changes_nothing_but_the_length() -> None:
    latents = torch.randn(1, 16)
    matrix = crop_matrix(torch.tensor([[0.0, 0, 48, 40]]), SIDE)
    undone = undo_view(latents, matrix, (SIDE, SIDE), PHOTO)
    torch.testing.assert_close(undone, F.normalize(latents, dim=-1))


def test_points_turned_and_shifted_as_a_view_does_come_back() -> None:
    """Eight points about the photo's centre, turned as the view turns the photo, and shifted by
    its shift times their own range; the length does not matter."""
    points = torch.randn(1, 8, 2, generator=torch.Generator().manual_seed(0))
    points = points - points.mean(1, keepdim=True)
    matrix = view(math.radians(50), (8.0, 5.0, 28.0, 25.0))
    turned = points @ matrix[:, :2, :2].mT
    middle = torch.tensor([[[PHOTO[1] / 2, PHOTO[0] / 2]]])
    shift = apply_affine(matrix, middle) / SIDE - 0.5
    extent = turned.amax(1, keepdim=True) - turned.amin(1, keepdim=True)
    for length in (0.5, 3.0):
        seen = length * (turned + shift * extent)
        undone = undo_view(seen.flatten(1), matrix, (SIDE, SIDE), PHOTO)
        torch.testing.assert_close(undone, F.normalize(points.flatten(1), dim=-1))


def test_range_and_mean_carry_no_gradient() -> None:
    """Turning and shifting by constants is linear: the gradient is that of the turn alone."""
    latents = torch.randn(1, 16, requires_grad=True)
    matrix = view(0.7, (8.0, 5.0, 28.0, 25.0))
    unit = F.normalize(latents.detach(), dim=-1).requires_grad_()
    points = unit.unflatten(-1, (-1, 2))
    extent = (points.amax(1) - points.amin(1)).detach()
    shift = apply_affine(matrix, torch.tensor([[[24.0, 20.0]]]))[:, 0] / SIDE - 0.5
    moved = points - (shift * extent)[:, None]
    mean = moved.mean(1, keepdim=True).detach()
    turn = torch.tensor([[math.cos(0.7), math.sin(0.7)], [-math.sin(0.7), math.cos(0.7)]])
    expected = F.normalize(((moved - mean) @ turn.mT + mean).flatten(1), dim=-1)
    ours = undo_view(unit, matrix, (SIDE, SIDE), PHOTO)
    torch.testing.assert_close(ours, expected)
    probe = torch.randn(1, 16)
    (wanted,) = torch.autograd.grad((expected * probe).sum(), unit, retain_graph=True)
    (found,) = torch.autograd.grad((ours * probe).sum(), unit)
    # undo_view normalises its input too: only the part of the gradient across it comes through.
    wanted = wanted - (wanted * unit).sum() * unit
    torch.testing.assert_close(found, wanted.detach())


def test_turns_of_drawn_views_are_undone_whatever_their_aspect() -> None:
    images = torch.zeros(6, 3, *PHOTO, dtype=torch.uint8)
    batch = ImageBatch(tuple("abcdef"), images)
    torch.manual_seed(0)
    matrices = ViewSampler(ViewConfig(image_size=SIDE, aspect=(0.7, 1.4)))(batch.images).matrices[0]
    across = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]).repeat(6, 1, 1)  # along the photo's x axis
    seen = across @ matrices[:, :2, :2].mT
    undone = undo_view(seen.flatten(1), matrices, (SIDE, SIDE), PHOTO, translation=False)
    torch.testing.assert_close(undone, F.normalize(across.flatten(1), dim=-1))


def test_bf16_autocast_leaves_it_alone() -> None:
    latents, matrix = torch.randn(1, 16), view(0.7, (8.0, 5.0, 28.0, 25.0))
    exact = undo_view(latents, matrix, (SIDE, SIDE), PHOTO)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(undo_view(latents, matrix, (SIDE, SIDE), PHOTO), exact)
