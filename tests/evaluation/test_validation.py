"""Validation: errors of known sizes, on hands that are not trained on, without a trace."""

import pickle
from dataclasses import replace

import pytest
import torch
from tests.golden import methods as golden

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import Batch, HandBatch, HandHypotheses
from hand_pipeline.evaluation.validation import HeldOut, validator_of
from hand_pipeline.training.method import Reconstructor
from hand_pipeline.training.run import ValidationConfig

CPU = MachineConfig(accelerator="cpu")
CFG = ValidationConfig(samples=64, batch_size=3)


class OneBatch:
    """The samples of a batch as a set."""

    fingerprint = "one"

    def __init__(self, batch: Batch) -> None:
        self.batch = batch

    def __len__(self) -> int:
        return len(self.batch)

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def collate(self, samples: list[int]) -> Batch:
        return self.batch.rows(samples)

    def held_out(self) -> "OneBatch":
        return self


class Shifted(Reconstructor):
    """Sees every hand where it is, but one joint 10 mm to the side of it."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = torch.nn.Parameter(torch.zeros(()))

    def losses(self, batch: Batch, step: int) -> dict[str, torch.Tensor]:
        raise AssertionError("a reconstructor is validated by its errors")

    def predict(self, batch: HandBatch, generator=None, only_hands=False) -> HandHypotheses:
        joints = batch.joints_3d.clone()
        joints[:, 8, 0] += 0.010
        return HandHypotheses.single(
            batch.ids, batch.intrinsics, batch.joints_2d, joints, batch.vertices, batch.mano_pose,
            batch.betas,
        )  # fmt: skip


def hands() -> HandBatch:
    with golden.in_float64():
        batch = golden.hands()
    return batch._each(lambda value: value.float() if value.is_floating_point() else value)


def test_a_reconstructor_is_validated_by_its_errors_in_mm() -> None:
    found = HeldOut(OneBatch(hands()), CFG)(Shifted())
    assert next(iter(found)) == "pa_mpjpe_mm"  # by which the best weights are chosen
    assert found["rr_mpjpe_mm"] == pytest.approx(10 / 21, rel=1e-4)
    assert found["pa_mpvpe_mm"] == pytest.approx(0, abs=1e-3)
    # the best fit has no larger squares than none, and a mean is at most its root mean square
    assert 0 < found["pa_mpjpe_mm"] <= 10 / 21**0.5


def test_hands_without_all_labels_are_left_out() -> None:
    batch = hands()
    part = replace(batch, has_vertices=torch.tensor([True, False, True, False]))
    assert HeldOut(OneBatch(part), CFG)(Shifted())["rr_mpjpe_mm"] == pytest.approx(
        10 / 21, rel=1e-4
    )
    with pytest.raises(ValueError, match="no batches"):
        HeldOut(OneBatch(replace(batch, has_vertices=batch.has_vertices & False)), CFG)(Shifted())


def test_so_many_samples_are_drawn_always_the_same() -> None:
    few = HeldOut(OneBatch(golden.poses(8)), ValidationConfig(samples=3))
    assert len(set(few.rows)) == 3
    assert few.rows == HeldOut(OneBatch(golden.poses(8)), ValidationConfig(samples=3)).rows
    assert few.fingerprint != HeldOut(few.data, CFG).fingerprint
    assert pickle.loads(pickle.dumps(few)).rows == few.rows


def test_a_set_that_holds_nothing_out_is_not_validated_on() -> None:
    assert validator_of(object(), CFG, CPU) is None


@pytest.mark.parametrize("name", ["handmim", "ibot", "peclr", "keypoint_probe", "vq_mano"])
def test_validating_leaves_no_trace_in_a_method_and_repeats_itself(name: str) -> None:
    """Neither centres, codebooks nor running means move; every call draws the same."""
    built = golden.start(name)
    method = built.method.eval()
    method.total_steps = 100
    before = {key: value.clone() for key, value in method.state_dict().items()}
    scorer = HeldOut(OneBatch(built.batch), CFG)
    with torch.no_grad(), golden.in_float64():
        first, second = scorer(method), scorer(method)
    assert first == second
    assert next(iter(first)) == ("pa_mpjpe_mm" if name == "vq_mano" else "total")
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), key
