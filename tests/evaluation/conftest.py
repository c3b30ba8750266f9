"""Posed hands with known errors, shared by the evaluation tests."""

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand


@pytest.fixture(scope="session")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture
def hands(mano) -> dict[str, np.ndarray]:
    """Twelve random hands and noisy, turned, scaled predictions of them."""
    generator = torch.Generator().manual_seed(0)
    pose = 0.3 * torch.randn(12, 48, generator=generator)
    betas = torch.randn(12, 10, generator=generator)
    place = torch.tensor([0.0, 0.0, 0.6]) + 0.05 * torch.randn(12, 3, generator=generator)
    truth = mano(mano.full_pose(pose, False), betas, place)
    pose = pose + 0.1 * torch.randn(12, 48, generator=generator)
    place = place + 0.02 * torch.randn(12, 3, generator=generator)
    guess = mano(mano.full_pose(pose, False), betas * 0.5, place)
    return {
        "pred_joints": guess.joints.numpy(),
        "pred_vertices": guess.vertices.numpy(),
        "gt_joints": truth.joints.numpy(),
        "gt_vertices": truth.vertices.numpy(),
    }


@pytest.fixture
def batch(mano: ManoHand) -> HandBatch:
    """Six labelled hands before one camera, in grey pictures of 100 px."""
    count, generator = 6, torch.Generator().manual_seed(0)
    pose = mano.full_pose(0.3 * torch.randn(count, 48, generator=generator), False)
    betas = torch.randn(count, 10, generator=generator)
    hand = mano(pose, betas, torch.tensor([-0.05, 0.0, 0.6]).expand(count, 3))
    camera = torch.tensor([[200.0, 0, 50], [0, 200, 50], [0, 0, 1]]).repeat(count, 1, 1)
    every, joints = torch.ones(count, dtype=torch.bool), torch.ones(count, 21, dtype=torch.bool)
    pixels = project(hand.joints, camera)
    return HandBatch(
        ids=tuple(f"photo {i}" for i in range(count)),
        images=torch.full((count, 3, 100, 100), 90, dtype=torch.uint8),
        intrinsics=camera,
        joints_2d=pixels,
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=joints,
        has_joints_3d=joints,
        has_mano=every,
        has_vertices=every,
        keypoints=Keypoints(pixels, torch.ones(count, 21)),
    )
