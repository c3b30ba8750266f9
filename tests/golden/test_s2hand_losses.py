"""S2HAND's first losses, step by step: a change of computation must be seen and explained.

`s2hand_cpu.txt` was written by this file run as a program (`PYTHONPATH=src python
tests/golden/test_s2hand_losses.py`), torch 2.13.0+cpu, one thread. Equal to the last digit on one
machine; another CPU sums in another order, and ten steps of training amplify that, hence the
tolerance.
"""

from pathlib import Path

import numpy as np
import torch

from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.efficientnet_encoder import EfficientNetConfig
from hand_pipeline.methods.s2hand.hourglass import HourglassConfig
from hand_pipeline.methods.s2hand.s2hand import S2Hand

GOLDEN = Path(__file__).with_name("s2hand_cpu.txt")
SIZE, STEPS = 64, 10


def make_batch() -> HandBatch:
    mano = ManoHand()
    rng = np.random.default_rng(0)  # numpy's streams are promised to be stable, torch's are not

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    pose = mano.full_pose(0.3 * normal(4, 48), False)
    betas = normal(4, 10)
    hand = mano(pose, betas, torch.tensor([0.0, 0.0, 0.6]) + 0.02 * normal(4, 3))
    intrinsics = torch.tensor([[130.0, 0, 32], [0, 130, 32], [0, 0, 1]]).repeat(4, 1, 1)
    yes = torch.ones(4, dtype=torch.bool)
    images = torch.from_numpy(rng.integers(0, 256, (4, 3, SIZE, SIZE), dtype=np.uint8))
    joints_2d = project(hand.joints, intrinsics)
    confidence = torch.from_numpy(rng.uniform(0.5, 1, (4, 21)).astype(np.float32))
    return HandBatch(
        ids=tuple("abcd"),
        images=images,
        intrinsics=intrinsics,
        joints_2d=joints_2d,
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
        keypoints=Keypoints(joints_2d + normal(4, 21, 2), confidence),
    )


def build() -> S2Hand:
    torch.manual_seed(0)
    return S2Hand(
        S2HandConfig(
            hourglass=HourglassConfig(width=16, depth=2, blocks=1), supervision="full",
            w_mrgb=1e-3, w_laplacian=0.1,
        ),
        EfficientNetConfig(name="mobilenetv2_035", image_size=SIZE),
        HandAugmentationConfig(
            image_size=SIZE, scale=0, translation=0, rotation_deg=0, brightness=0, contrast=0,
            saturation=0, hue=0, padding="zeros",
        ),
    )  # fmt: skip


def first_losses() -> list[list[float]]:
    method, batch = build(), make_batch()
    optimizer = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], lr=1e-4)
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
    golden, found = np.loadtxt(GOLDEN), first_losses()
    np.testing.assert_allclose(found, golden, rtol=5e-2, atol=1e-5)
    np.testing.assert_allclose(found[0], golden[0], rtol=1e-3, atol=1e-6)


if __name__ == "__main__":
    torch.set_num_threads(1)
    np.savetxt(GOLDEN, first_losses(), header=" ".join(build().loss_weights), fmt="%.9g")
