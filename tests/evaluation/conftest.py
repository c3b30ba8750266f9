"""Posed hands with known errors, shared by the evaluation tests."""

import numpy as np
import pytest
import torch

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
