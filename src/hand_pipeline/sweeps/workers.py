"""Run units of work in parallel, each in its own process, so that a failure stays isolated."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.processes import ProcessDiedError, ProcessPool
from hand_pipeline.sweeps.plan import Unit
from hand_pipeline.sweeps.work import Outcome, Surroundings, work_in_process

SERVER_MODULES = ["hand_pipeline.sweeps.work", "mlflow.tracking.client", "lightning_fabric"]
"""Imported once by the process that all others are forked from; it uses no GPU. The last two are
listed because our modules import them lazily."""


@dataclass(frozen=True)
class Task:
    """A unit and the environment variables of its process."""

    unit: Unit
    environment: dict[str, str]


class Workers:
    """Up to `machine.sweep_workers` parallel units, each in its own process.

    One process per unit (about 0.1 s) isolates crashes and frees memory.
    """

    def __init__(self, machine: MachineConfig, modules: Iterable[str] = ()):
        self.size = machine.sweep_workers
        self.pool = ProcessPool(self.size, [*SERVER_MODULES, *modules], reuse=False)
        self.gpus = _gpus() if machine.accelerator != "cpu" and machine.devices == 1 else []
        self.running: dict[Future[Outcome], tuple[Unit, int]] = {}

    @property
    def free(self) -> bool:
        """Whether another unit can start."""
        return len(self.running) < self.size

    def start(self, task: Task) -> None:
        """Start a unit's process."""
        slot = min(set(range(self.size)) - {slot for _, slot in self.running.values()})
        threads = max(1, (os.cpu_count() or 1) // self.size) if self.size > 1 else 0
        environment = dict(task.environment)
        if len(self.gpus) > 1 and self.size > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        around = Surroundings(environment, threads, apart=self.size > 1)
        self.running[self.pool.submit(work_in_process, task.unit, around)] = task.unit, slot

    def finished(self) -> list[tuple[Unit, Outcome]]:
        """Wait until a unit ends; returns all that have ended, with their outcomes."""
        ended = wait(self.running, return_when=FIRST_COMPLETED).done
        return [(self.running.pop(future)[0], _outcome(future)) for future in ended]

    def stop(self) -> None:
        """Stop running units; their checkpoints stay, so they can be resumed."""
        self.pool.stop()
        self.running = {}


def _outcome(future: Future[Outcome]) -> Outcome:
    try:
        return future.result()
    except ProcessDiedError as death:
        return Outcome(str(death))


def _gpus() -> list[str]:
    if named := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return named.split(",")
    return [str(index) for index in range(torch.cuda.device_count())]


def run_units(
    units: Iterable[Unit],
    workers: Workers,
    task: Callable[[Unit], Task],
    wanted: Callable[[Unit], bool],
    ended: Callable[[Unit, Outcome], None],
) -> None:
    """Run all units that are not done, each after those it needs.

    Args:
        task: called when a unit starts.
        wanted: called before a unit starts; False skips it.
        ended: called when a unit ends.
    """
    waiting = {unit.key: unit for unit in units if not unit.done}
    try:
        while waiting or workers.running:
            under_way = {unit.key for unit, _ in workers.running.values()}
            for unit in list(waiting.values()):
                if not wanted(unit):
                    del waiting[unit.key]
                elif workers.free and not (set(unit.needs) & (waiting.keys() | under_way)):
                    del waiting[unit.key]
                    under_way.add(unit.key)
                    workers.start(task(unit))
            if workers.running:
                for unit, outcome in workers.finished():
                    ended(unit, outcome)
    finally:
        workers.stop()
