"""The loop: resumable to the bit, honest about broken losses, one loss name for one weight."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import Float
from torch import Tensor, nn

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import Batch
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.training.loop import NonFiniteLossError, Record, TrainConfig, fit, weighted_sum
from hand_pipeline.training.method import Method

MACHINE = MachineConfig(accelerator="cpu")
CONFIG = TrainConfig(steps=24, batch_size=8, lr=1e-2, weight_decay=0.1, final_weight_decay=0.3,
                     warmup_steps=3, clip=1.0, log_every=2, checkpoint_every=4)  # fmt: skip


@dataclass(frozen=True)
class Points(Batch):
    x: Float[Tensor, "batch 4"]


class Toy(Method):
    """Fits x -> sum(x) with dropout, so that the step's random numbers matter."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Linear(4, width), nn.Dropout(0.2), nn.ReLU(), nn.Linear(width, 1)]
        self.net = nn.Sequential(*layers)
        self.register_buffer("average", torch.zeros(()))
        self.loss_weights = {"fit": 1.0, "size": 1e-3}

    def losses(self, batch: Batch, step: int) -> dict[str, Tensor]:
        assert isinstance(batch, Points)
        out = self.net(batch.x)[:, 0]
        return {"fit": (out - batch.x.sum(1)).square().mean(), "size": out.square().mean()}

    def after_step(self, step: int) -> None:
        self.average.lerp_(next(self.parameters()).detach().mean(), 0.1)

    def monitors(self) -> dict[str, Tensor]:
        return {"average": self.average}


def points_from(step: int) -> Iterator[Points]:
    while True:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        yield Points(tuple(f"{step}/{i}" for i in range(8)), x)
        step += 1


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


def test_an_interrupted_run_ends_bit_equal_to_an_uninterrupted_one(tmp_path: Path) -> None:
    whole = Toy()
    expected = list(fit(whole, points_from, CONFIG, MACHINE))
    for record in fit(Toy(), points_from, CONFIG, MACHINE, tmp_path / "last.safetensors"):
        if record.step == 14:  # two steps after the checkpoint of step 12
            break
    resumed = Toy()
    records = list(fit(resumed, points_from, CONFIG, MACHINE, tmp_path / "last.safetensors"))
    assert numbers(records) == numbers(expected)
    assert [r.replayed for r in records] == [r.step <= 12 for r in records]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_the_rate_falls_in_steps_and_a_run_resumed_after_a_fall_goes_on_below_it(
    tmp_path: Path,
) -> None:
    cfg = TrainConfig(steps=12, batch_size=8, lr=1e-2, schedule="step", step_every=5,
                      step_factor=0.5, log_every=1, checkpoint_every=6)  # fmt: skip
    expected = list(fit(Toy(), points_from, cfg, MACHINE))
    assert [r.learning_rate for r in expected] == [1e-2] * 5 + [5e-3] * 5 + [2.5e-3] * 2
    for record in fit(Toy(), points_from, cfg, MACHINE, tmp_path / "last.safetensors"):
        if record.step == 8:
            break
    resumed = list(fit(Toy(), points_from, cfg, MACHINE, tmp_path / "last.safetensors"))
    assert [r.replayed for r in resumed] == [True] * 6 + [False] * 6
    assert numbers(resumed) == numbers(expected)


def test_a_finished_run_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    first = list(fit(Toy(), points_from, CONFIG, MACHINE, path))
    before = path.stat().st_mtime_ns
    second = list(fit(Toy(), points_from, CONFIG, MACHINE, path))
    assert numbers(second) == numbers(first)
    assert all(r.replayed for r in second)
    assert path.stat().st_mtime_ns == before


def test_a_checkpoint_of_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    list(fit(Toy(), points_from, CONFIG, MACHINE, path))
    with pytest.raises(CheckpointMismatchError, match=r"0\.weight: expected .32, 4., got .16, 4."):
        list(fit(Toy(width=32), points_from, CONFIG, MACHINE, path))


def test_a_nan_stops_the_run_with_step_term_and_batch_and_keeps_the_good_checkpoint(
    tmp_path: Path,
) -> None:
    def poisoned(step: int) -> Iterator[Points]:
        for batch in points_from(step):
            bad = batch.ids[0] == "9/0"
            yield Points(batch.ids, batch.x * float("nan") if bad else batch.x)

    path = tmp_path / "last.safetensors"
    with pytest.raises(NonFiniteLossError, match=r"'fit' is nan at step 9; batch ids: 9/0, 9/1"):
        list(fit(Toy(), poisoned, CONFIG, MACHINE, path))
    healthy = list(fit(Toy(), points_from, CONFIG, MACHINE, path))
    assert sum(r.replayed for r in healthy) == 4  # records of steps 2, 4, 6, 8
    assert numbers(healthy) == numbers(list(fit(Toy(), points_from, CONFIG, MACHINE)))


def test_weight_decay_is_scheduled_on_matrices_and_absent_on_vectors() -> None:
    method = Toy()
    records = list(fit(method, points_from, CONFIG, MACHINE))
    assert records[0].weight_decay == pytest.approx(0.1, abs=5e-3)
    assert records[-1].weight_decay == pytest.approx(0.3, abs=5e-3)
    assert records[-1].learning_rate < records[2].learning_rate


def test_training_lowers_the_loss() -> None:
    records = list(fit(Toy(), points_from, CONFIG.model_copy(update={"steps": 300}), MACHINE))
    assert records[-1].total < 0.3 * records[0].total


@pytest.mark.parametrize("clip_by", ["global", "tensor"])
def test_clipping_bounds_the_update_but_reports_the_norm_before(clip_by: str) -> None:
    cfg = CONFIG.model_copy(update={"clip": 1e-9, "clip_by": clip_by, "optimizer": "adam"})
    record = next(iter(fit(Toy(), points_from, cfg, MACHINE)))
    assert record.grad_norm > 0.1


def test_loss_names_must_match_weights() -> None:
    with pytest.raises(KeyError, match=r"patch.*pose"):
        weighted_sum({"patch": torch.ones(())}, {"pose": 1.0})


def test_checkpoints_must_fall_on_records() -> None:
    with pytest.raises(ValueError, match="multiple of log_every"):
        TrainConfig(steps=10, batch_size=1, lr=1.0, log_every=3, checkpoint_every=4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"schedule": "step"}, "needs step_every and step_factor"),
        ({"schedule": "step", "step_every": 3}, "needs step_factor"),
        ({"step_every": 3, "step_factor": 0.5}, "step_every and step_factor belong to schedule"),
        ({"step_factor": 0.5}, "set schedule: step, or leave them out"),
        ({"schedule": "step", "step_every": 3, "step_factor": 0.5, "final_lr": 1e-3}, "final_lr"),
        (
            {"schedule": "step", "step_every": 3, "step_factor": 0.5, "warmup_steps": 4},
            "decay before the warm-up ends",
        ),
        ({"schedule": "step", "step_every": 3, "step_factor": 1.0}, "less than 1"),
        ({"schedule": "steps"}, "'cosine' or 'step'"),
    ],
)
def test_settings_of_another_schedule_are_refused(given: dict[str, Any], said: str) -> None:
    plain = {"steps": 10, "batch_size": 1, "lr": 1.0, "log_every": 1, "checkpoint_every": 1}
    with pytest.raises(ValueError, match=said):
        TrainConfig(**{**plain, **given})


class Counting(Toy):
    """A `Toy` whose state says how often it was trained."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps_done", torch.zeros((), dtype=torch.long))

    def after_step(self, step: int) -> None:
        super().after_step(step)
        self.steps_done += 1


def best_at_13(method: Method) -> dict[str, float]:
    """A validation that draws random numbers and is lowest near step 13."""
    assert not method.training
    assert not torch.is_grad_enabled()
    torch.manual_seed(99)
    return {"error": abs(int(method.steps_done) - 13), "noise": torch.rand(()).item()}


VALIDATED = CONFIG.model_copy(update={"validate_every": 4})


def test_validation_changes_nothing_of_the_training() -> None:
    plain, validated = Counting(), Counting()
    expected = list(fit(plain, points_from, CONFIG, MACHINE))
    records = list(fit(validated, points_from, VALIDATED, MACHINE, validate=best_at_13))
    assert [r.step for r in records if r.validation] == [4, 8, 12, 16, 20, 24]
    assert records[-1].scalars()["validation.error"] == 11
    without = [{k: v for k, v in n.items() if "valid" not in k} for n in numbers(records)]
    assert without == numbers(expected)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, validated.state_dict()[name]), name


def test_a_validation_that_is_not_finite_stops_the_run() -> None:
    with pytest.raises(
        NonFiniteLossError, match="error of the validation samples is inf at step 4"
    ):
        list(fit(Toy(), points_from, VALIDATED, MACHINE, validate=lambda _: {"error": math.inf}))


def test_the_last_step_is_validated_too() -> None:
    cfg = CONFIG.model_copy(update={"validate_every": 10})
    records = list(fit(Counting(), points_from, cfg, MACHINE, validate=best_at_13))
    assert [r.step for r in records if r.validation] == [10, 20, 24]


@pytest.mark.parametrize("stop", [None, 14, 18])
def test_the_best_weights_are_kept_also_over_an_interruption(
    stop: int | None, tmp_path: Path
) -> None:
    cfg = VALIDATED.model_copy(update={"keep": "best"})
    where = (points_from, cfg, MACHINE, tmp_path / "last.safetensors", best_at_13)
    if stop is not None:
        for record in fit(Counting(), *where):
            if record.step == stop:
                break
    method = Counting()
    list(fit(method, *where))
    assert method.steps_done == 12  # before 16, which is as near
    until_best = CONFIG.model_copy(update={"steps": 24})
    reference = Counting()
    for record in fit(reference, points_from, until_best, MACHINE):
        if record.step == 12:
            break
    for name, tensor in reference.state_dict().items():
        assert torch.equal(tensor, method.state_dict()[name]), name


def test_the_last_weights_are_kept_unless_asked_otherwise() -> None:
    method = Counting()
    list(fit(method, points_from, VALIDATED, MACHINE, validate=best_at_13))
    assert method.steps_done == 24


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"validate_every": 3}, "multiple of log_every"),
        ({"keep": "best"}, "needs validate_every"),
    ],
)
def test_a_validation_that_cannot_be_is_refused(changes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        TrainConfig(**{**CONFIG.model_dump(), **changes})


def test_validating_on_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to validate on"):
        next(fit(Counting(), points_from, VALIDATED, MACHINE))
