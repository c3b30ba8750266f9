"""The clock of predictions: what it is given, and what it counts."""

import time

import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.evaluation.speed import seconds_a_batch


class Slow:
    """Sleeps, long the first time."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[int, ...], torch.dtype, int]] = []

    def __call__(self, batch: HandBatch) -> HandHypotheses:
        assert torch.is_inference_mode_enabled()
        images, count = batch.images, len(batch)
        assert torch.allclose(batch.intrinsics[0, 2], torch.tensor([0.0, 0.0, 1.0]))
        self.calls.append((tuple(images.shape), images.dtype, count))
        time.sleep(0.2 if len(self.calls) == 1 else 0.02)
        return HandHypotheses.single(
            batch.ids, batch.intrinsics, batch.joints_2d, batch.joints_3d, batch.vertices,
            batch.mano_pose, batch.betas,
        )  # fmt: skip


def test_the_median_of_the_timed_calls_counts_and_the_warm_up_does_not():
    slow = Slow()
    seconds = seconds_a_batch(slow, 16, 3, repeats=3, warmup=1)
    assert 0.02 <= seconds < 0.15
    assert slow.calls == [((3, 3, 16, 16), torch.uint8, 3)] * 4


def test_no_repeats_are_refused():
    with pytest.raises(ValueError, match="at least one repeat"):
        seconds_a_batch(Slow(), 16, 1, repeats=0)
