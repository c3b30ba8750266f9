"""PyMAF's first losses, step by step: a change of computation must be seen and explained.

`pymaf_cpu.txt` was written by this file run as a program (`PYTHONPATH=src python
tests/golden/test_pymaf_losses.py`), torch 2.13.0+cpu, one thread. Equal to the last digit on one
machine; another CPU sums in another order, and ten steps of training amplify that, hence the
tolerance.
"""

from pathlib import Path

import numpy as np
import torch

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.vit import VitConfig

GOLDEN = Path(__file__).with_name("pymaf_cpu.txt")
SIZE, STEPS = 32, 10


def make_batch() -> HandBatch:
    mano = ManoHand()
    rng = np.random.default_rng(0)  # numpy's streams are promised to be stable, torch's are not

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    pose = mano.full_pose(0.3 * normal(4, 48), False)
    betas = normal(4, 10)
    hand = mano(pose, betas, torch.tensor([0.0, 0.0, 0.6]) + 0.02 * normal(4, 3))
    intrinsics = torch.tensor([[90.0, 0, 24], [0, 90, 24], [0, 0, 1]]).repeat(4, 1, 1)
    yes = torch.ones(4, dtype=torch.bool)
    images = torch.from_numpy(rng.integers(0, 256, (4, 3, 48, 48), dtype=np.uint8))
    return HandBatch(
        ids=tuple("abcd"),
        images=images,
        intrinsics=intrinsics,
        joints_2d=project(hand.joints, intrinsics),
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
    )


def first_losses() -> list[list[float]]:
    torch.manual_seed(0)
    vit = VitConfig(
        name="vit_tiny_patch16_224",
        image_size=SIZE,
        patch_size=8,
        depth=2,
        embed_dim=32,
        num_heads=2,
    )
    cfg = PyMAFConfig(pyramid_channels=16, regressor_width=64)
    method = PyMAF(cfg, vit, HandAugmentationConfig(image_size=SIZE))
    optimizer = torch.optim.AdamW(method.parameters(), lr=3e-4)
    batch = make_batch()
    rows = []
    for step in range(STEPS):
        torch.manual_seed(step)
        terms = method.losses(batch, step)
        loss = sum(method.loss_weights[name] * value for name, value in terms.items())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rows.append([value.item() for value in terms.values()])
    return rows


def test_first_losses_are_the_golden_ones():
    golden = np.loadtxt(GOLDEN)
    np.testing.assert_allclose(first_losses(), golden, rtol=2e-2, atol=1e-6)
    np.testing.assert_allclose(first_losses()[0], golden[0], rtol=1e-4, atol=1e-7)


if __name__ == "__main__":
    torch.set_num_threads(1)
    header = (
        "mano_pose mano_betas mano_camera vertices local_vertices joints_3d joints_2d "
        "positive_scale"
    )
    np.savetxt(GOLDEN, first_losses(), header=header, fmt="%.9g")
