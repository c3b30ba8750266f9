"""The head of expected errors, on hands whose errors are known."""

import numpy as np
import pytest
import torch

from hand_pipeline.evaluation.calibration import spearman
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.methods.maskhand.agreement import SCALE
from hand_pipeline.methods.maskhand.context_synthesizer import Context
from hand_pipeline.methods.maskhand.joint_error_head import (
    JointErrorHead,
    confidence_of,
    joint_error_loss,
)

WIDTH = 8
YES = torch.ones(256, dtype=torch.bool)


def toy(seed: int):
    """Hands whose joints are wrong by a normal error, its size written in the map below each."""
    generator = torch.Generator().manual_seed(seed)
    hand = 0.05 * torch.randn(21, 3, generator=torch.Generator().manual_seed(99))
    truth = hand + 0.005 * torch.randn(256, 21, 3, generator=generator)
    level = torch.rand(256, 21, generator=generator)  # 2 to 20 mm
    size = 0.002 * 10**level
    joints = truth + size[..., None] * torch.randn(256, 21, 3, generator=generator)
    maps = torch.zeros(256, 2, WIDTH // 2, 1, 21)
    maps[:, 0, 0, 0] = level
    places = torch.stack([(torch.arange(21) * 2 + 1) / 21 - 1, torch.zeros(21)], dim=-1)
    sure = torch.full((256, 21), 0.5)
    return Context([(maps,)], None), joints, places.expand(256, -1, -1), sure, truth


@pytest.fixture(scope="module")
def head() -> JointErrorHead:
    torch.manual_seed(0)
    head = JointErrorHead(WIDTH)
    optimizer = torch.optim.Adam(head.parameters(), 5e-3)
    for step in range(200):
        *given, truth = toy(step)
        optimizer.zero_grad()
        joint_error_loss(head(*given), given[1], truth, YES).backward()
        optimizer.step()
    return head


def test_expected_errors_rank_held_out_ones_and_have_their_mean(head) -> None:
    *given, truth = toy(1000)
    with torch.no_grad():
        expected = head(*given)
    error = (procrustes_align(given[1], truth, False) - truth).norm(dim=-1)
    assert spearman(expected.numpy(), error.numpy()) > 0.5
    assert spearman(confidence_of(expected).numpy(), error.numpy()) < -0.5
    order = expected.flatten().argsort()
    for part in order.chunk(4):  # from the surest quarter to the least sure
        mean, true = (values.flatten()[part].mean().item() for values in (expected, error))
        assert mean == pytest.approx(true, rel=0.15)


def test_the_loss_is_least_where_the_expected_error_is_the_mean_error() -> None:
    """d/dm (log m + E[e] / m) = 0 at m = E[e]."""
    *_, joints, _, _, truth = toy(0)
    mean = (procrustes_align(joints, truth, False) - truth).norm(dim=-1).mean()
    losses = [
        joint_error_loss((mean * factor).expand(256, 21), joints, truth, YES).item()
        for factor in (0.9, 1.0, 1.1)
    ]
    assert np.argmin(losses) == 1
    assert losses[1] == pytest.approx((mean / SCALE).log().item() + 1, abs=1e-4)


def test_a_joint_expected_within_10_mm_is_as_sure_as_one_whose_draws_agree_within_10_mm() -> None:
    found = confidence_of(torch.tensor([0.0, 0.01, 0.02]))
    torch.testing.assert_close(found, torch.tensor([1.0, 0.367879, 0.135335]))


def test_hypotheses_of_an_image_read_its_map_and_its_joints(head) -> None:
    context, joints, places, sure, _ = toy(2)
    pose = torch.randn(256, 21, WIDTH)
    alone = [
        head(Context([(context.values[0][0][row : row + 1],)], pose[row : row + 1]),
             *(given[row : row + 1] for given in (joints, places, sure)))
        for row in (0, 0, 1, 1)
    ]  # fmt: skip
    two = Context([(context.values[0][0][:2],)], pose[:2])
    twice = (given[:2].repeat_interleave(2, 0) for given in (joints, places, sure))
    torch.testing.assert_close(head(two, *twice), torch.cat(alone))
