"""The baseline that learns nothing: it turns a detector's joints into a hand, or says it cannot."""

from dataclasses import replace

import pytest
import torch

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.mediapipe import MediaPipe, MediaPipeConfig
from hand_pipeline.training.checkpoint import pack_method

SIDE = 112


@pytest.fixture(scope="module")
def model() -> MediaPipe:
    return MediaPipe(MediaPipeConfig()).eval()


@pytest.fixture(scope="module")
def batch(model: MediaPipe) -> HandBatch:
    """Two bent hands with their joints exactly seen, and one of which nothing was seen."""
    torch.manual_seed(0)
    fingers = 0.3 * torch.randn(3, 15, 1) * model.mano.flex_axes
    pose = model.mano.full_pose(
        torch.cat([0.5 * torch.randn(3, 3), fingers.flatten(1)], dim=1), flat_hand_mean=False
    )
    place = torch.tensor([0.02, -0.01, 0.6]).expand(3, 3)
    joints = model.mano(pose, torch.zeros(3, 10), place).joints
    camera = torch.tensor([[200.0, 0, 40], [0, 200, 60], [0, 0, 1]]).expand(3, 3, 3)
    sure = torch.tensor([[0.9], [0.6], [0.0]]).expand(3, 21)
    seen = Keypoints(project(joints, camera), sure, joints - joints.mean(1, keepdim=True))
    images = torch.zeros(3, 3, SIDE, SIDE, dtype=torch.uint8)
    unlabelled = HandBatch.unlabelled(("a", "b", "c"), images, camera, seen)
    return replace(unlabelled, joints_3d=joints)


def test_the_hand_lies_on_what_was_seen_in_px_of_the_input_size(
    model: MediaPipe, batch: HandBatch
) -> None:
    with torch.inference_mode():
        found = model.predict(batch)
    truth = batch.joints_3d[:2]
    aligned = procrustes_align(found.joints_3d[:2, 0], truth)
    assert (aligned - truth).norm(dim=-1).mean() < 0.002
    assert batch.keypoints is not None
    expected = batch.keypoints.points[:2] * model.image_size / SIDE
    assert (found.joints_2d[:2, 0] - expected).norm(dim=-1).mean() < 1
    assert found.joint_confidence is not None
    assert torch.equal(found.joint_confidence[:, 0], batch.keypoints.confidence)
    assert model.predict(batch, only_hands=True).joint_confidence is None


def test_a_hand_that_was_not_seen_is_the_mean_hand_in_the_middle(
    model: MediaPipe, batch: HandBatch
) -> None:
    found = model.predict(batch)
    mean = model.mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    torch.testing.assert_close(found.mano_pose[2], mean, rtol=0, atol=1e-5)
    middle = found.joints_2d[2, 0, 9]
    torch.testing.assert_close(middle, torch.full((2,), model.image_size / 2), rtol=0, atol=0.5)


def test_without_keypoints_it_says_where_to_get_them(model: MediaPipe, batch: HandBatch) -> None:
    with pytest.raises(ValueError, match=r"no keypoints: open the set with those of .*detect"):
        model.predict(replace(batch, keypoints=None))


def test_there_is_nothing_to_train(model: MediaPipe, batch: HandBatch) -> None:
    assert not list(model.parameters())
    with pytest.raises(TypeError, match="no parameters to train"):
        model.losses(batch, 0)


def test_it_comes_back_from_a_checkpoint(model: MediaPipe) -> None:
    packed = pack_method(model.name, model.state_dict(), **model.configs)
    restored = restore_method(packed)
    assert isinstance(restored, MediaPipe)
    assert restored.cfg == model.cfg
