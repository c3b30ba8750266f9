"""Labelled hands that every method can learn from."""

import pytest
import torch

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand

SIZE = 32


@pytest.fixture(scope="session")
def batch() -> HandBatch:
    """Four hands; the picture is noise, which is enough to tell them apart."""
    mano = ManoHand(tips="freihand")
    generator = torch.Generator().manual_seed(0)
    pose = mano.full_pose(0.3 * torch.randn(4, 48, generator=generator), False)
    betas = torch.randn(4, 10, generator=generator)
    place = torch.tensor([0.0, 0.0, 0.6]) + 0.02 * torch.randn(4, 3, generator=generator)
    hand = mano(pose, betas)
    shift = (place - hand.joints[:, 9])[:, None]
    intrinsics = torch.tensor([[60.0, 0, 16], [0, 60, 16], [0, 0, 1]]).repeat(4, 1, 1)
    yes = torch.ones(4, dtype=torch.bool)
    return HandBatch(
        ids=tuple("abcd"),
        images=torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=generator).to(torch.uint8),
        intrinsics=intrinsics,
        joints_2d=project(hand.joints + shift, intrinsics),
        joints_3d=hand.joints + shift,
        vertices=hand.vertices + shift,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
    )
