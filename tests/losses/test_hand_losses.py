"""Losses of labelled hands: flags, units and the root."""

import pytest
import torch

from hand_pipeline.losses.keypoint import joint_2d_loss, joint_3d_loss
from hand_pipeline.losses.mano import betas_loss, pose_loss, positive_scale_loss, vertex_loss
from hand_pipeline.losses.reduction import masked_mean


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_unlabelled_joints_do_not_count(generator):
    joints = torch.rand(3, 21, 3, generator=generator)
    target = joints.clone()
    valid = torch.ones(3, 21, dtype=torch.bool)
    valid[1, 4] = False
    target[1, 4] = torch.inf
    assert joint_3d_loss(joints, target, valid) == 0


def test_an_unlabelled_joint_sends_no_gradient_even_if_infinite(generator):
    joints = torch.rand(2, 21, 2, generator=generator, requires_grad=True)
    target = torch.zeros(2, 21, 2)
    valid = torch.zeros(2, 21, dtype=torch.bool)
    valid[0, 0] = True
    target[1] = torch.inf
    joint_2d_loss(joints, target, valid, image_size=10).backward()
    assert torch.isfinite(joints.grad).all()
    assert joints.grad[1].abs().sum() == 0
    assert joints.grad[0, 0].abs().sum() > 0


def test_a_batch_without_labels_costs_nothing(generator):
    pose = torch.rand(2, 16, 3, 3, generator=generator, requires_grad=True)
    loss = pose_loss(pose, torch.zeros(2, 16, 3, 3), torch.zeros(2, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert pose.grad.abs().sum() == 0


def test_a_moved_hand_costs_nothing_relative_to_its_root(generator):
    joints = torch.rand(2, 21, 3, generator=generator)
    moved = joints + torch.tensor([0.1, -0.2, 0.3])
    valid = torch.ones(2, 21, dtype=torch.bool)
    assert joint_3d_loss(joints, moved, valid, root=0) == pytest.approx(0, abs=1e-6)
    assert joint_3d_loss(joints, moved, valid) == pytest.approx(0.2, abs=1e-6)


def test_a_sample_with_unlabelled_root_counts_for_nothing(generator):
    joints = torch.rand(1, 21, 3, generator=generator)
    valid = torch.ones(1, 21, dtype=torch.bool)
    valid[0, 9] = False
    assert joint_3d_loss(joints, joints + 1, valid, root=9) == 0


def test_2d_loss_is_a_share_of_the_image_side():
    joints = torch.zeros(1, 21, 2)
    valid = torch.ones(1, 21, dtype=torch.bool)
    loss = joint_2d_loss(joints, joints + 11.2, valid, image_size=112)
    assert loss == pytest.approx(0.1)


def test_vertex_loss_subtracts_each_meshs_own_origin(generator):
    vertices = torch.rand(2, 778, 3, generator=generator)
    shift = torch.rand(2, 3, generator=generator)
    valid = torch.ones(2, dtype=torch.bool)
    loss = vertex_loss(vertices, vertices + shift[:, None], valid, torch.zeros(2, 3), shift)
    assert loss == pytest.approx(0, abs=1e-6)


def test_negative_scale_is_expensive_and_positive_scale_is_free():
    assert positive_scale_loss(torch.tensor([1.0])) < 1e-8
    assert positive_scale_loss(torch.tensor([-0.1])) == pytest.approx(3)


def test_a_very_negative_scale_pulls_no_harder_than_a_slightly_negative_one():
    scale = torch.tensor([-0.01, -5.0], requires_grad=True)
    positive_scale_loss(scale).backward()
    assert scale.grad[0] == scale.grad[1] < 0


def test_betas_loss_is_a_mean_square():
    valid = torch.tensor([True, False])
    loss = betas_loss(torch.full((2, 10), 2.0), torch.zeros(2, 10), valid)
    assert loss == 4


def test_flags_of_the_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="leading axes"):
        masked_mean(torch.zeros(2, 21, 3), torch.ones(2, 20, dtype=torch.bool))
