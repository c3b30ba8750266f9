"""Each loss of labelled hands against a plain statement of its formula, sample by sample."""

import numpy as np
import pytest
import torch

from hand_pipeline.losses.keypoint import joint_2d_loss, joint_3d_loss
from hand_pipeline.losses.mano import (
    betas_loss,
    camera_loss,
    pose_loss,
    positive_scale_loss,
    vertex_loss,
)

BATCH = 5


def loop_mean(difference: np.ndarray, valid: np.ndarray) -> float:
    """Average over every coordinate of every labelled element."""
    picked = [difference[index].ravel() for index in np.ndindex(valid.shape) if valid[index]]
    return float(np.mean(np.concatenate(picked)))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def torched(*arrays):
    return [torch.from_numpy(array) for array in arrays]


@pytest.mark.parametrize("root", [None, 0, 9])
def test_joint_3d_loss_matches_its_formula(rng, root):
    joints, target = rng.normal(size=(2, BATCH, 21, 3))
    valid = rng.random((BATCH, 21)) < 0.7
    ours = joint_3d_loss(*torched(joints, target, valid), root=root)
    if root is not None:
        joints = joints - joints[:, [root]]
        target = target - target[:, [root]]
        valid = np.array([row if row[root] else np.zeros(21, bool) for row in valid])
    assert ours.item() == pytest.approx(loop_mean(np.abs(joints - target), valid), abs=1e-12)


def test_joint_2d_loss_matches_its_formula(rng):
    joints, target = rng.uniform(0, 224, size=(2, BATCH, 21, 2))
    valid = rng.random((BATCH, 21)) < 0.5
    ours = joint_2d_loss(*torched(joints, target, valid), image_size=224)
    assert ours.item() == pytest.approx(loop_mean(np.abs(joints - target) / 224, valid), abs=1e-12)


def test_vertex_loss_matches_its_formula(rng):
    vertices, target = rng.normal(size=(2, BATCH, 778, 3))
    origin, target_origin = rng.normal(size=(2, BATCH, 3))
    valid = np.array([True, False, True, True, False])
    ours = vertex_loss(*torched(vertices, target, valid, origin, target_origin))
    difference = (vertices - origin[:, None]) - (target - target_origin[:, None])
    assert ours.item() == pytest.approx(loop_mean(np.abs(difference), valid), abs=1e-12)


def test_mano_parameter_losses_match_their_formulas(rng):
    pose, pose_target = rng.normal(size=(2, BATCH, 16, 3, 3))
    betas, betas_target = rng.normal(size=(2, BATCH, 10))
    valid = np.array([True, False, True, True, False])
    ours = pose_loss(*torched(pose, pose_target, valid))
    assert ours.item() == pytest.approx(loop_mean((pose - pose_target) ** 2, valid), abs=1e-12)
    camera, camera_target = rng.normal(size=(2, BATCH, 3))
    ours = camera_loss(*torched(camera, camera_target, valid))
    assert ours.item() == pytest.approx(loop_mean((camera - camera_target) ** 2, valid), abs=1e-12)
    ours = betas_loss(*torched(betas, betas_target, valid))
    assert ours.item() == pytest.approx(loop_mean((betas - betas_target) ** 2, valid), abs=1e-12)


def test_positive_scale_loss_matches_pymafs_formula_where_the_scale_is_positive(rng):
    scale = np.abs(rng.normal(size=BATCH)) * 0.1
    ours = positive_scale_loss(torch.from_numpy(scale)).item()
    assert ours == pytest.approx(np.mean([np.exp(-10 * value) ** 2 for value in scale]), rel=1e-12)
