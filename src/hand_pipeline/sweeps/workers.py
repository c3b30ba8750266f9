"""Units of work on processes of their own: several side by side, a failed one harms no other."""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.context import ForkServerProcess
from typing import Any

import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps.plan import Unit
from hand_pipeline.sweeps.work import Outcome, Surroundings, work_in_process

_SERVER_MODULES = ["hand_pipeline.sweeps.work", "mlflow.tracking.client", "lightning_fabric"]
"""Imported once by the process that all others are forked from; it touches no GPU. The last two are
loaded by what uses them, so no module of ours brings them."""


@dataclass(frozen=True)
class Task:
    """A unit and what its process needs to know."""

    unit: Unit
    environment: dict[str, str]


@dataclass
class _Running:
    task: Task
    process: ForkServerProcess
    reply: connection.Connection
    slot: int


class Workers:
    """Up to `machine.sweep_workers` processes; each unit has its own.

    A process of its own costs a tenth of a second, and buys that a unit that is killed (out of
    memory, say) or crashes takes nothing else down, and that memory is given back.
    """

    def __init__(self, machine: MachineConfig, modules: Iterable[str] = ()):
        self.size = machine.sweep_workers
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([*_SERVER_MODULES, *sorted(set(modules))])
        self.gpus = _gpus() if machine.accelerator != "cpu" and machine.devices == 1 else []
        self.running: list[_Running] = []

    @property
    def free(self) -> bool:
        """Whether another unit can start."""
        return len(self.running) < self.size

    def start(self, task: Task) -> None:
        """Start a unit's process."""
        slot = min(set(range(self.size)) - {r.slot for r in self.running})
        threads = max(1, (os.cpu_count() or 1) // self.size) if self.size > 1 else 0
        environment = dict(task.environment)
        if len(self.gpus) > 1 and self.size > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        receive, send = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=work_in_process,
            args=(task.unit, Surroundings(environment, threads, apart=self.size > 1), send),
        )
        process.start()
        send.close()
        self.running.append(_Running(task, process, receive, slot))

    def finished(self, seconds: float | None = None) -> list[tuple[Unit, Outcome]]:
        """Wait until a process ends (or for so long); how those that did ended."""
        connection.wait([r.process.sentinel for r in self.running], seconds)
        ended = [r for r in self.running if not r.process.is_alive()]
        self.running = [r for r in self.running if r not in ended]
        return [(r.task.unit, _outcome(r)) for r in ended]

    def stop(self) -> None:
        """End what still runs: its checkpoints stay, so it can be taken up again."""
        for running in self.running:
            running.process.terminate()
        for running in self.running:
            running.process.join(10)
        self.running = []


def _outcome(running: _Running) -> Outcome:
    try:
        if running.reply.poll():
            outcome: Any = running.reply.recv()
            if isinstance(outcome, Outcome):
                return outcome
    except EOFError:
        pass
    finally:
        running.process.join()
        running.reply.close()
    code = running.process.exitcode or 0
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    hint = "; signal 9 usually means that memory ran out" if code == -9 else ""
    return Outcome(f"its process ended {how}{hint}")


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
        task: called as a unit starts.
        wanted: asked before a unit starts; one that nobody wants any more is left out.
        ended: called as each ends.
    """
    waiting = {unit.key: unit for unit in units if not unit.done}
    try:
        while waiting or workers.running:
            under_way = {r.task.unit.key for r in workers.running}
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
