"""Run one unit of work in its own process."""

import fcntl
import json
import logging
import os
import shutil
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from hand_pipeline import tracking
from hand_pipeline.files import atomic_write_text
from hand_pipeline.sweeps.plan import DONE, Unit


@dataclass(frozen=True)
class Outcome:
    """How a unit ended: `reason` of the failure, empty on success."""

    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Surroundings:
    """Settings of a process besides its unit.

    Attributes:
        environment: environment variables: the MLflow run to log to, the visible GPUs.
        threads: torch's; 0: unchanged.
        apart: print to `output.txt` in the unit's folder, because the progress bars of several
            units would mix on one terminal.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int = 0
    apart: bool = False


def work_in_process(unit: Unit, around: Surroundings) -> Outcome:
    """Run `unit` in this process, which runs nothing else; errors are returned as outcomes."""
    if around.apart:
        _print_to(unit.folder / "output.txt")
    # the sweep itself reports what runs and what failed
    logging.getLogger("kedro").setLevel(logging.CRITICAL)
    os.environ.update(around.environment)
    if around.threads:
        torch.set_num_threads(around.threads)
    started = time.perf_counter()
    try:
        run_unit(unit)
        return Outcome(seconds=time.perf_counter() - started)
    except Exception as error:
        (unit.folder / "error.txt").write_text(traceback.format_exc())
        return Outcome(f"{type(error).__name__}: {error}", time.perf_counter() - started)


def run_unit(unit: Unit) -> None:
    """Run the nodes, unless another process has; `done.json` marks the results as complete."""
    with _alone(unit.folder):
        if unit.done:
            return
        started = time.perf_counter()
        catalog = DataCatalog.from_config(dict(unit.entries))
        for name, value in unit.parameters.items():
            catalog[name] = value
        SequentialRunner().run(Pipeline(list(unit.nodes)), catalog)
        shutil.rmtree(unit.folder / "running", ignore_errors=True)
        record = {
            "key": unit.key,
            "nodes": [node.name for node in unit.nodes],
            "parameters": {n: tracking.plain(value) for n, value in unit.parameters.items()},
            "needs": unit.needs,
            "mlflow_run": tracking.run_id(),
            "seconds": round(time.perf_counter() - started, 2),
        }
        atomic_write_text(unit.folder / DONE, json.dumps(record, indent=1, default=str))


def _print_to(file: Path) -> None:
    """Redirect stdout and stderr of this process and its children to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as opened:  # a resumed unit appends
        for stream in (sys.stdout, sys.stderr):
            os.dup2(opened.fileno(), stream.fileno())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the unit's folder, because another sweep may share the unit."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released by the system when the process ends
        yield
