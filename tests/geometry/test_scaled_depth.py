"""2.5D and back: exact hands return exactly, impossible ones stay finite."""

import pytest
import torch
from torch import Tensor

from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.scaled_depth import bone_lengths, lift, root_depth, scaled_depths

K = torch.tensor([[300.0, 0.0, 110.0], [0.0, 310.0, 115.0], [0.0, 0.0, 1.0]]).repeat(6, 1, 1)
LIMITS = (1.0, 100.0)


@pytest.fixture(scope="module")
def joints() -> Tensor:
    """Six hands at half a metre to a metre; double, so that only the formula is tested."""
    mano = ManoHand()
    generator = torch.Generator().manual_seed(0)
    pose = mano.full_pose(0.3 * torch.randn(6, 48, generator=generator), False)
    place = torch.tensor([0.0, 0.0, 0.5]) + 0.5 * torch.rand(6, 1, generator=generator)
    return mano(pose, torch.randn(6, 10, generator=generator), place).joints.double()


@pytest.mark.parametrize("bone", [(0, 5), (9, 10), (0, 9)])
@pytest.mark.parametrize("root", [0, 9])
def test_a_hand_returns_from_its_pixels_and_scaled_depths(
    joints: Tensor, bone: tuple[int, int], root: int
) -> None:
    camera = K.double()
    pixels = project(joints, camera)
    depths, lengths = scaled_depths(joints, bone, root), bone_lengths(joints, bone)
    assert depths[:, root].abs().max() == 0
    lifted = lift(pixels, depths, camera, lengths, bone, LIMITS)
    torch.testing.assert_close(lifted, joints, atol=1e-6, rtol=0)


def test_a_hand_twice_as_large_and_far_has_the_same_pixels_and_depths(joints: Tensor) -> None:
    camera, bone = K.double(), (0, 5)
    torch.testing.assert_close(project(2 * joints, camera), project(joints, camera))
    torch.testing.assert_close(scaled_depths(2 * joints, bone, 0), scaled_depths(joints, bone, 0))
    lifted = lift(
        project(joints, camera), scaled_depths(joints, bone, 0), camera,
        2 * bone_lengths(joints, bone), bone, LIMITS,
    )  # fmt: skip
    torch.testing.assert_close(lifted, 2 * joints, atol=2e-6, rtol=0)


def test_estimates_of_no_real_hand_stay_finite_and_within_the_limits() -> None:
    """All joints on one ray; a bone that points away farther than its length; nothing at all."""
    on_one_ray = torch.full((6, 21, 2), 110.0)
    for depths in (torch.zeros(6, 21), torch.linspace(0, 5, 21).expand(6, 21)):
        hand = lift(on_one_ray, depths, K, torch.ones(6), (0, 5), (4.0, 50.0))
        assert hand.isfinite().all()
        assert (hand[:, 0, 2] >= 4).all()
        assert (hand[:, 0, 2] <= 50).all()


def test_without_a_solution_the_bone_comes_as_near_to_its_length_as_it_can() -> None:
    """Depths of 3 bone lengths across one bone: whatever the root's, it is longer than 1."""
    rays = torch.zeros(1, 21, 2)
    rays[0, 5, 0] = 0.1
    depths = torch.zeros(1, 21)
    depths[0, 5] = 3.0
    found = root_depth(rays, depths, (0, 5)).item()

    def length(root: float) -> float:
        return ((3 + root) * 0.1) ** 2 + 9

    assert length(found) <= min(length(found - 0.01), length(found + 0.01))


def test_hands_without_the_bone_have_no_depths() -> None:
    assert scaled_depths(torch.zeros(2, 21, 3), (0, 5), 0).abs().max() == 0
