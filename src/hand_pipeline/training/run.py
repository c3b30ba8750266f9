"""Train a method on a data set: loader, loop, ranks and the progress bar put together."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.loader import batches_from
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.training.launch import launch
from hand_pipeline.training.loop import Record, TrainConfig, fit
from hand_pipeline.training.method import Method

_TRAINING, _DATA = "hand_pipeline.training", "hand_pipeline.data"


@dataclass(frozen=True)
class TrainResult:
    """A finished training run.

    Attributes:
        tensors: the method's state, on the CPU.
        history: every record, from step 0 also where the run was resumed.
        resumed_from: step of the checkpoint the run went on from; 0 for a fresh run.
    """

    tensors: dict[str, Tensor]
    history: list[Record]
    resumed_from: int

    def table(self) -> pd.DataFrame:
        """The history, one row a record."""
        return pd.DataFrame([{"step": r.step, **r.scalars()} for r in self.history])

    def final_figures(self) -> dict[str, float]:
        """Losses, monitors and validation of the last record; nothing that depends on the clock."""
        timing = ("images_per_second", "memory_gb")
        return {k: v for k, v in self.history[-1].scalars().items() if k not in timing}


@runtime_checkable
class RecordSink(Protocol):
    """Where records go besides the history: MLflow, a study, a file."""

    def __call__(self, record: Record) -> None:
        """Take one record; may keep it for a while."""

    def flush(self) -> None:
        """Pass on what was kept."""


@dataclass(frozen=True)
class TrainJob:
    """Everything a rank needs, picklable.

    Attributes:
        dataset: map-style; `collate` turns its items into a batch.
        checkpoint: running checkpoint, found again by a run with the same key.
        validate: maps the method to metrics.
        sink: is given each record, on rank 0; must be picklable.
    """

    name: str
    method: Method
    dataset: Dataset[Any]
    collate: Callable[[list[Any]], Any]
    cfg: TrainConfig
    machine: MachineConfig
    checkpoint: Path | None = None
    validate: Callable[[Method], dict[str, float]] | None = None
    sink: RecordSink | None = None


def running_checkpoint(
    machine: MachineConfig, stage: str, training: TrainConfig, /, data: str, **decisive: Any
) -> Path:
    """Where a run keeps its running checkpoint: a name made of everything that decides its result.

    It lies outside every stage's outputs, because DVC deletes those before it runs a stage. The
    same configuration, data, starting weights and code find it again; anything else never does.

    Args:
        data: hash of the input data.
        decisive: configurations, hashes of starting weights. The code that counts is `training`,
            `data` and all that the configurations' modules import: the paper whose they are.
    """
    papers = {type(value).__module__ for value in decisive.values() if isinstance(value, Config)}
    code = code_hash(_TRAINING, _DATA, *sorted(papers))
    plain = {
        name: value.model_dump(mode="json") if isinstance(value, Config) else value
        for name, value in {"training": training, **decisive}.items()
    }
    key = run_key(stage=stage, data=data, code=code, **plain)
    return machine.workspace / stage / f"{key}.safetensors"


def train(job: TrainJob) -> TrainResult:
    """Train `job.method`, resuming its running checkpoint where there is one."""
    return launch(_train, job, devices=job.machine.devices)


def _train(job: TrainJob) -> TrainResult:
    distributed = torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    stream = batches_from(
        job.dataset,
        job.collate,
        batch_size=job.cfg.batch_size,
        seed=job.cfg.seed,
        num_workers=job.machine.num_workers,
        rank=rank,
        world_size=torch.distributed.get_world_size() if distributed else 1,
        pin_memory=job.machine.device == "cuda",
    )
    history, resumed_from = list[Record](), 0
    records = fit(job.method, stream, job.cfg, job.machine, job.checkpoint, job.validate)
    with tqdm(total=job.cfg.steps, desc=job.name, unit="step", disable=rank > 0) as bar:
        for record in records:
            history.append(record)
            if record.replayed:
                resumed_from = record.step
            bar.update(record.step - bar.n)
            bar.set_postfix(loss=f"{record.total:.4f}", refresh=False)
            if rank == 0 and job.sink is not None:
                job.sink(record)
    if rank == 0 and job.sink is not None:
        job.sink.flush()
    tensors = {name: tensor.cpu() for name, tensor in job.method.state_dict().items()}
    return TrainResult(tensors, history, resumed_from)
