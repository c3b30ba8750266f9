"""The renderer's gradients against central differences of itself, and what they are good for."""

import math

import pytest
import torch
from torch import Tensor

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.geometry.textured import render_textured
from hand_pipeline.geometry.topology import edge_faces

LIGHT = torch.tensor([0.5, 0.6, 1.0, 0.9, 0.8, 1.0, 1.0, 0.9, -0.3, -0.4, -0.85])


@pytest.fixture(scope="module")
def hand() -> ManoHand:
    return ManoHand()


def camera(size: int) -> Tensor:
    return torch.tensor([[2.2 * size, 0, size / 2], [0, 2.2 * size, size / 2], [0, 0, 1]])


def texture(hand: ManoHand, generator: torch.Generator) -> Tensor:
    """Smooth blotches over the skin."""
    waves = torch.randn(3, 3, generator=generator) * 25
    return torch.tensor([0.7, 0.55, 0.45]) + 0.25 * torch.sin(hand.template @ waves)


@pytest.mark.parametrize("seed", range(2))
def test_gradients_equal_central_differences(hand: ManoHand, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    turn = axis_angle_to_matrix(torch.randn(3, generator=generator))
    place = torch.tensor([0.003, -0.007, 0.6])
    vertices = (hand.template - hand.template.mean(0)) @ turn.T + place
    leaves = [
        leaf.double().requires_grad_(True)
        for leaf in (vertices[None], texture(hand, generator)[None], LIGHT[None], camera(40)[None])
    ]
    weights = torch.rand(4, 40, 40, generator=generator).double()
    topology = edge_faces(hand.faces)

    def score(vertices: Tensor, colours: Tensor, light: Tensor, intrinsics: Tensor) -> Tensor:
        rgb, alpha = render_textured(
            vertices, hand.faces, colours, light, intrinsics, (40, 40), topology
        )
        return (torch.cat([rgb, alpha[:, None]], 1)[0] * weights).sum()

    gradients = torch.autograd.grad(score(*leaves), leaves)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    values = [leaf.detach() for leaf in leaves]
    for index, step in enumerate((1e-8, 1e-5, 1e-5, 1e-6)):
        for _ in range(3):
            direction = torch.randn(values[index].shape, generator=generator).double()
            if index == 3:
                direction[:, [0, 1, 2, 2, 2], [1, 0, 0, 1, 2]] = 0  # what a camera does not have
            moved = step * direction
            before, after = (
                [v + sign * moved if i == index else v for i, v in enumerate(values)]
                for sign in (-1, 1)
            )
            expected = (score(*after) - score(*before)) / (2 * step)
            actual = (gradients[index] * direction).sum()
            torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_gradients_along_a_path_add_up_to_the_difference_of_its_ends(hand: ManoHand) -> None:
    """On the way of one pixel the outline crosses hundreds of pixels' centres, nearly all smoothly.

    Only where a gap between fingers closes does a pixel jump.
    """
    steps = 40
    vertices = hand.template - hand.template.mean(0) + torch.tensor([0.003, -0.007, 0.6])
    weights = torch.linspace(0, 1, 48).expand(48, 48)
    topology = edge_faces(hand.faces)
    way = torch.tensor([1.0, 0.6, 0.0]) * 0.6 / (2.2 * 48)

    def scores(along: Tensor) -> Tensor:
        count = len(along)
        _, alpha = render_textured(
            vertices + along[:, None, None] * way, hand.faces, torch.ones(count, 778, 3),
            LIGHT.expand(count, 11), camera(48).expand(count, 3, 3), (48, 48), topology,
        )  # fmt: skip
        return (alpha * weights).sum((1, 2))

    along = ((torch.arange(steps) + 0.5) / steps).requires_grad_(True)
    (slopes,) = torch.autograd.grad(scores(along).sum(), along)
    start, end = scores(torch.tensor([0.0, 1.0])).tolist()
    assert slopes.mean().item() == pytest.approx(end - start, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("skin", ["textured", "plain"])
def test_a_hand_displaced_by_thirty_millimetres_is_found_from_its_picture(
    hand: ManoHand, skin: str
) -> None:
    """20 degrees and 25 mm off; L1 of the composite, 150 steps of Adam, seven of eight hands."""
    hands, size, steps = 8, 64, 150
    generator = torch.Generator().manual_seed(0)
    fingers = axis_angle_to_matrix(torch.randn(hands, 15, 3, generator=generator) * 0.15)
    root = axis_angle_to_matrix(torch.randn(hands, 1, 3, generator=generator) * 1.5)
    with torch.no_grad():
        mesh = hand(torch.cat([root, fingers], 1), torch.zeros(hands, 10)).vertices
    mesh = mesh - mesh.mean(1, keepdim=True)
    colours = texture(hand, generator) if skin == "textured" else torch.tensor([0.8, 0.6, 0.5])
    colours = colours.expand(hands, 778, 3)
    topology = edge_faces(hand.faces)

    def place(turn: Tensor, shift: Tensor) -> Tensor:
        turned = mesh @ axis_angle_to_matrix(turn).mT
        return turned + shift[:, None] + torch.tensor([0.0, 0.0, 0.6])

    def draw(vertices: Tensor) -> Tensor:
        rgb, _ = render_textured(
            vertices, hand.faces, colours, LIGHT.expand(hands, 11),
            camera(size).expand(hands, 3, 3), (size, size), topology,
        )  # fmt: skip
        return rgb

    def off(vertices: Tensor) -> Tensor:
        return 1000 * (vertices - truth).norm(dim=-1).mean(1)

    truth = place(torch.zeros(hands, 3), torch.zeros(hands, 3))
    photo = draw(truth)
    axes = torch.nn.functional.normalize(torch.randn(2, hands, 3, generator=generator), dim=-1)
    turn = (axes[0] * math.radians(20)).requires_grad_(True)
    shift = (axes[1] * 0.025).requires_grad_(True)
    assert off(place(turn, shift)).mean().item() == pytest.approx(30, abs=3)
    optimizer = torch.optim.Adam([{"params": [turn], "lr": 0.02}, {"params": [shift], "lr": 2e-3}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 1e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        (draw(place(turn, shift)) - photo).abs().mean((1, 2, 3)).sum().backward()
        optimizer.step()
        schedule.step()
    errors = off(place(turn, shift).detach())
    assert (errors < 2).sum() >= 7, f"mm left: {errors.tolist()}"
