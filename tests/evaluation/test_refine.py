"""A model's surest hand is brought onto the detector's joints; nothing else changes."""

from dataclasses import replace

import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses, Keypoints
from hand_pipeline.evaluation.refine import refine_hands
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture(scope="module")
def case(mano: ManoHand) -> tuple[HandBatch, HandHypotheses]:
    """Two hypotheses of two hands, a little wrong; only the first hand was seen."""
    torch.manual_seed(1)
    true = axis_angle_to_matrix(0.3 * torch.randn(2, 16, 3))
    place = torch.tensor([0.0, 0.0, 0.5])
    camera = torch.tensor([[300.0, 0, 100], [0, 300, 100], [0, 0, 1]]).expand(2, 3, 3)
    joints = mano(true, torch.zeros(2, 10), place.expand(2, 3)).joints
    sure = torch.tensor([[0.9], [0.0]]).expand(2, 21)
    images = torch.zeros(2, 3, 200, 200, dtype=torch.uint8)
    seen = Keypoints(project(joints, camera), sure)
    batch = HandBatch.unlabelled(("a", "b"), images, camera, seen)
    pose = true[:, None] @ axis_angle_to_matrix(0.1 * torch.randn(2, 2, 16, 3))
    betas = 0.3 * torch.randn(2, 10)
    mesh = mano(pose.flatten(0, 1), betas.repeat_interleave(2, 0), place.expand(4, 3))
    vertices, joints = (v.unflatten(0, (2, 2)) for v in mesh)
    half = camera * torch.tensor([0.5, 0.5, 1])[:, None]  # the network's input is half as large
    flat = project(joints.flatten(0, 1), half.repeat_interleave(2, 0)).unflatten(0, (2, 2))
    confidence = torch.tensor([[0.7, 0.3]]).expand(2, 2)
    found = HandHypotheses(("a", "b"), half, flat, joints, vertices, pose, betas, confidence)
    return batch, found


def test_the_surest_hand_goes_onto_the_seen_joints_and_the_rest_stays(
    mano: ManoHand, case: tuple[HandBatch, HandHypotheses]
) -> None:
    batch, found = case
    refined = refine_hands(found, batch, mano)
    assert batch.keypoints is not None
    truth = batch.keypoints.points[0, 2:] / 2
    before = (found.joints_2d[0, 0, 2:] - truth).norm(dim=-1).mean()
    after = (refined.joints_2d[0, 0, 2:] - truth).norm(dim=-1).mean()
    assert after < 0.3 * before
    for name in ("joints_2d", "joints_3d", "vertices", "mano_pose"):
        changed, old = getattr(refined, name), getattr(found, name)
        assert torch.equal(changed[:, 1], old[:, 1]), name
        torch.testing.assert_close(changed[1, 0], old[1, 0], rtol=1e-4, atol=1e-4)  # not seen
    assert torch.equal(refined.betas, found.betas)
    mesh = mano(refined.mano_pose[:, 0], refined.betas)
    shift = refined.joints_3d[:, 0, :1] - mesh.joints[:, :1]
    torch.testing.assert_close(refined.vertices[:, 0], mesh.vertices + shift, rtol=0, atol=1e-5)


def test_without_keypoints_there_is_nothing_to_refine_to(
    mano: ManoHand, case: tuple[HandBatch, HandHypotheses]
) -> None:
    batch, found = case
    with pytest.raises(ValueError, match="no keypoints"):
        refine_hands(found, replace(batch, keypoints=None), mano)
