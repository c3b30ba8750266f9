"""The baseline that looks at no image."""

import pytest
import torch

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.evaluation.mean_hand import fit_mean_hand
from hand_pipeline.geometry.camera import project


@pytest.fixture
def labels(mano):
    generator = torch.Generator().manual_seed(1)
    pose = mano.full_pose(0.2 * torch.randn(6, 48, generator=generator), False)
    betas = torch.randn(6, 10, generator=generator)
    joints = mano(pose, betas).joints + torch.tensor([0.0, 0, 0.5])
    return pose, betas, joints, torch.ones(6, dtype=torch.bool)


def test_the_mean_of_one_hand_is_that_hand(mano, labels):
    pose, betas, joints, has_mano = (value[:1] for value in labels)
    intrinsics = torch.tensor([[[200.0, 0, 32], [0, 200, 32], [0, 0, 1]]]).repeat(2, 1, 1)
    mean = fit_mean_hand(pose, betas, joints, has_mano, mano)
    batch = HandBatch.unlabelled(("a", "b"), torch.zeros(2, 3, 64, 64), intrinsics)
    hands = mean.predict(batch)
    torch.testing.assert_close(hands.joints_3d[:, 0], joints.repeat(2, 1, 1), atol=1e-5, rtol=0)
    torch.testing.assert_close(hands.joints_2d[:, 0], project(hands.joints_3d[:, 0], intrinsics))


def test_unlabelled_samples_do_not_enter_the_mean(mano, labels):
    pose, betas, joints, has_mano = labels
    has_mano[3:] = False
    ours = fit_mean_hand(pose, betas, joints, has_mano, mano)
    expected = fit_mean_hand(pose[:3], betas[:3], joints[:3], has_mano[:3], mano)
    torch.testing.assert_close(ours.betas, expected.betas)
    torch.testing.assert_close(ours.mano_pose, expected.mano_pose)
    torch.testing.assert_close(ours.wrist, expected.wrist)


def test_no_labels_are_refused(mano, labels):
    pose, betas, joints, has_mano = labels
    with pytest.raises(ValueError, match="at least one"):
        fit_mean_hand(pose, betas, joints, torch.zeros_like(has_mano), mano)
