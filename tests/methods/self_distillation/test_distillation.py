import math

import pytest
import torch

from hand_pipeline.losses.collapse import feature_spread, target_health
from hand_pipeline.methods.self_distillation.distillation import (
    Center,
    cross_entropy,
    cross_view_loss,
    patch_loss,
)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_uniform_teacher_and_student_give_log_of_the_logits():
    center = Center(256)
    targets = center.targets(torch.zeros(2, 5, 256), 0.04)
    loss = cross_view_loss(targets, torch.zeros(2, 5, 256))
    torch.testing.assert_close(loss, torch.tensor(math.log(256)))


def test_cross_entropy_is_least_where_student_equals_teacher(generator):
    logits = torch.randn(4, 16, generator=generator)
    targets = (logits / 0.1).softmax(-1)
    entropy = torch.special.entr(targets).sum(-1)
    torch.testing.assert_close(cross_entropy(targets, logits, 0.1), entropy)
    other = torch.randn(4, 16, generator=generator)
    assert (cross_entropy(targets, other, 0.1) > entropy).all()


def test_views_are_compared_crosswise(generator):
    logits = torch.randn(2, 3, 8, generator=generator)
    targets = torch.randn(2, 3, 8, generator=generator).softmax(-1)
    first = cross_entropy(targets[0], logits[1], 0.1).mean()
    second = cross_entropy(targets[1], logits[0], 0.1).mean()
    torch.testing.assert_close(cross_view_loss(targets, logits), (first + second) / 2)


def test_tokens_without_weight_change_neither_loss_nor_gradient(generator):
    logits = torch.randn(6, 8, generator=generator).requires_grad_()
    targets = torch.randn(6, 8, generator=generator).softmax(-1)
    weights = torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0, 0.0])
    loss = patch_loss(targets, logits, weights)
    loss.backward()
    torch.testing.assert_close(loss, cross_entropy(targets[:4], logits[:4], 0.1).mean())
    assert logits.grad is not None
    assert logits.grad[4:].abs().max() == 0


def test_centre_is_a_moving_mean_of_the_rows_that_count(generator):
    center = Center(8, momentum=0.9)
    rows = torch.randn(5, 8, generator=generator)
    center.update(rows, torch.tensor([1.0, 1.0, 0.0, 0.0, 1.0]))
    torch.testing.assert_close(center.value, 0.1 * rows[[0, 1, 4]].mean(0))
    center.update(rows)
    expected = 0.9 * 0.1 * rows[[0, 1, 4]].mean(0) + 0.1 * rows.mean(0)
    torch.testing.assert_close(center.value, expected)


def test_targets_have_no_gradient_and_are_float32(generator):
    logits = torch.randn(3, 8, generator=generator).requires_grad_()
    targets = Center(8).targets(logits.bfloat16(), 0.04)
    assert not targets.requires_grad
    assert targets.dtype == torch.float32


def test_collapse_to_one_logit_shows_in_every_monitor():
    targets = torch.zeros(6, 16)
    targets[:, 3] = 1
    health = target_health("class", targets, None, torch.full((16,), -math.log(16)))
    assert health["class_entropy"] == 0
    torch.testing.assert_close(health["class_kl_uniform"], torch.tensor(math.log(16)))
    torch.testing.assert_close(health["class_kl_center"], torch.tensor(math.log(16)))


def test_collapse_to_uniform_shows_as_largest_entropy():
    health = target_health(
        "class", torch.full((6, 16), 1 / 16), None, torch.full((16,), -math.log(16))
    )
    torch.testing.assert_close(health["class_entropy"], torch.tensor(math.log(16)))
    torch.testing.assert_close(health["class_kl_uniform"], torch.tensor(0.0), atol=1e-6, rtol=0)


def test_feature_spread_is_one_for_noise_and_zero_for_equal_features(generator):
    noise = torch.randn(2000, 64, generator=generator)
    torch.testing.assert_close(feature_spread(noise), torch.tensor(1.0), atol=0.01, rtol=0)
    assert feature_spread(torch.ones(10, 64)) < 1e-3
