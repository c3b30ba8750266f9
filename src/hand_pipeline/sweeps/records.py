"""What a run left on disk: its figures, and its record."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.files import atomic_write_text
from hand_pipeline.provenance import run_key
from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.plan import Run


class RunRecord(Config):
    """How one member with one seed ended."""

    member: str
    seed: int
    status: Literal["finished", "failed"]
    reason: str = ""
    figures: dict[str, float] = Field({}, description="by heading")
    overrides: dict[str, Any] = Field({}, description="by dotted path")
    key: str = Field(description="of all its units: a record of other work is not taken up")
    units: dict[str, str] = Field({}, description="folder of each piece of its work, by node")
    mlflow_run: str | None = None


def key_of(run: Run) -> str:
    """One name for all of a run's work."""
    return run_key(units=run.units)


def write_record(folder: Path, record: RunRecord) -> None:
    """Write a run's record below the sweep's folder."""
    atomic_write_text(_file(folder, record.member, record.seed), record.model_dump_json(indent=1))


def read_record(folder: Path, run: Run) -> RunRecord | None:
    """The record of exactly this work, if there is one."""
    file = _file(folder, run.member, run.seed)
    if not file.exists():
        return None
    record = RunRecord.model_validate_json(file.read_text())
    return record if record.key == key_of(run) else None


def record_of(folder: Path, member: str, seed: int) -> RunRecord:
    """The latest record of a member with a seed, below its sweep's folder."""
    return RunRecord.model_validate_json(_file(folder, member, seed).read_text())


def _file(folder: Path, member: str, seed: int) -> Path:
    return folder / member / f"seed_{seed}.json"


def read_figures(run: Run) -> dict[str, float]:
    """The figures of a finished run's columns.

    Raises:
        SweepError: a metrics file has no such figure, or it is not a finite number.
    """
    figures = {}
    for heading, place in run.columns.items():
        dataset, _, key = place.partition(":")
        metrics = json.loads(run.files[dataset].read_text())
        value = figure(metrics, key)
        if value is None:
            raise SweepError(
                f"column {heading}: {dataset} has no figure {key!r}; it has "
                f"{', '.join(names(metrics)) or 'none'}. Correct `columns` and run again: "
                "what is finished is kept"
            )
        if not math.isfinite(value):
            raise SweepError(f"column {heading}: {place} is {value}")
        figures[heading] = value
    return figures


def figure(metrics: Mapping[str, Any], key: str) -> float | None:
    """The number at a dotted key, whose parts may themselves have dots."""
    value = metrics.get(key)
    if isinstance(value, int | float):
        return float(value)
    for name, inner in metrics.items():
        if isinstance(inner, Mapping) and key.startswith(f"{name}."):
            found = figure(inner, key.removeprefix(f"{name}."))
            if found is not None:
                return found
    return None


def names(metrics: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys of all numbers."""
    found = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += names(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            found.append(f"{prefix}{name}")
    return found
