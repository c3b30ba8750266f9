"""Two ranks must follow the one-rank trajectory, not just exit 0."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import Batch, ImageBatch
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Method
from hand_pipeline.training.run import train


class Pictures(Dataset[tuple[Tensor, str]]):
    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        generator = torch.Generator().manual_seed(index)
        return torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8, generator=generator), str(index)

    def collate(self, items: list[tuple[Tensor, str]]) -> ImageBatch:
        return ImageBatch(tuple(i for _, i in items), torch.stack([x for x, _ in items]))

    fingerprint = "forty pictures"


class AutoEncoder(Method):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(48, 8), nn.GELU(), nn.Linear(8, 48))
        self.loss_weights = {"pixels": 1.0}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        assert isinstance(batch, ImageBatch)
        x = batch.images.flatten(1).float() / 255
        return {"pixels": (self.net(x) - x).square().mean()}


@pytest.mark.slow
def test_two_ranks_follow_the_trajectory_of_one(tmp_path: Path) -> None:
    cfg = TrainConfig(steps=12, batch_size=16, lr=0.05, log_every=1, checkpoint_every=4)
    runs = []
    for devices in (1, 2):
        machine = MachineConfig(
            accelerator="cpu", devices=devices, workspace=tmp_path / str(devices)
        )
        runs.append(train("t", AutoEncoder, Pictures(), cfg, machine, {"pictures": 40}))
    one, two = (run.history["loss.total"].tolist() for run in runs)
    assert one[-1] < 0.5 * one[0]
    torch.testing.assert_close(torch.tensor(two), torch.tensor(one), rtol=1e-4, atol=1e-5)
    assert len(runs[1].checkpoint.tensors) == 4
