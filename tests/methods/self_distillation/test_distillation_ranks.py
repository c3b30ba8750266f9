import pytest
import torch
from torch import distributed, multiprocessing

from hand_pipeline.methods.self_distillation.distillation import Center


def _rank(rank, rendezvous, results):
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    part = rows[:12] if rank == 0 else rows[12:]  # ranks of unequal weight
    center = Center(4)
    center.update(part)
    torch.save(center.value, f"{results}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_have_the_centre_of_one(tmp_path):
    multiprocessing.spawn(_rank, args=(tmp_path / "rendezvous", tmp_path), nprocs=2)
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    rows = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    single = Center(4)
    single.update(rows)
    for value in parts:
        torch.testing.assert_close(value, single.value)
