"""Agreement of draws: bounds, order, and what it must not see."""

import torch

from hand_pipeline.evaluation.joint_error import joint_errors
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.methods.maskhand.agreement import SCALE, agreement


def hands(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.05 * torch.randn(*shape, 21, 3, generator=torch.Generator().manual_seed(seed))


def test_witnesses_that_say_the_same_make_sure() -> None:
    one = hands(2, 1)
    found = agreement(one.repeat(1, 3, 1, 1), one.repeat(1, 5, 1, 1))
    torch.testing.assert_close(found.hands, torch.ones(2, 3))
    torch.testing.assert_close(found.joints, torch.ones(2, 3, 21))


def test_it_falls_with_the_distances_that_the_evaluation_measures() -> None:
    """Of one witness: exp(-PA error / scale), by the joints and by their mean."""
    ours, witness = hands(3, 2), hands(3, 1, seed=4)
    truth = witness.expand_as(ours).flatten(0, 1)
    errors = joint_errors(ours.flatten(0, 1).double().numpy(), truth.double().numpy())
    expected = torch.from_numpy(errors["pa_mpjpe_no_reflection"]).float().unflatten(0, (3, 2))
    found = agreement(ours, witness)
    torch.testing.assert_close(found.joints, torch.exp(-expected / SCALE), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(
        found.hands, torch.exp(-expected.mean(-1) / SCALE), rtol=1e-3, atol=1e-5
    )


def test_the_hypothesis_in_the_middle_is_the_surest() -> None:
    middle = hands(1, 1)
    witnesses = middle + 0.004 * torch.randn(
        1, 40, 21, 3, generator=torch.Generator().manual_seed(1)
    )
    hypotheses = torch.cat([middle + 0.01 * hands(1, 1, seed=2), middle, witnesses[:, :1]], dim=1)
    assert agreement(hypotheses, witnesses).hands.argmax() == 1


def test_a_wider_spread_of_witnesses_is_less_sure() -> None:
    middle, noise = hands(1, 1), hands(1, 30, seed=3)
    near, far = (agreement(middle, middle + s * noise).hands.item() for s in (0.05, 0.5))
    assert 0 < far < near < 1


def test_place_orientation_and_size_do_not_count() -> None:
    ours, theirs = hands(2, 3), hands(2, 4, seed=5)
    turn = axis_angle_to_matrix(torch.tensor([0.3, -0.8, 1.2]))
    found = agreement(ours, theirs)
    moved = agreement(1.1 * ours @ turn.T + torch.tensor([0.3, -0.1, 0.5]), theirs)
    torch.testing.assert_close(found.hands, moved.hands, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(found.joints, moved.joints, atol=1e-5, rtol=1e-3)
