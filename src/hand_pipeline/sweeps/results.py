"""Results of a sweep: a record of each run, tables of runs and members, and metrics as JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, ValidationError

from hand_pipeline.config import Config
from hand_pipeline.files import atomic_write_text
from hand_pipeline.sweeps.declaration import SweepConfig, SweepError
from hand_pipeline.sweeps.plan import Run


class RunRecord(Config):
    """Outcome of one member with one seed; stored as SWEEP/MEMBER/seed_N.json."""

    member: str
    seed: int
    status: Literal["finished", "failed"]
    reason: str = ""
    metrics: dict[str, float] = Field({}, description="by heading of the column")
    overrides: dict[str, Any] = Field({}, description="by dotted path")
    key: str = Field(description="of all its units; a record with another key is not reused")
    files: dict[str, Path] = Field({}, description="paths it read and wrote, by data set")
    mlflow_run: str | None = None


def write_record(folder: Path, record: RunRecord) -> None:
    """Write a run's record below the sweep's folder."""
    atomic_write_text(_file(folder, record.member, record.seed), record.model_dump_json(indent=1))


def read_record(folder: Path, run: Run) -> RunRecord | None:
    """The record of a run, if there is one with the same key."""
    try:
        record = record_of(folder, run.member, run.seed)
    except (FileNotFoundError, ValidationError):  # none yet, or written by another version
        return None
    return record if record.key == run.key else None


def record_of(folder: Path, member: str, seed: int) -> RunRecord:
    """The latest record of a member with a seed, below its sweep's folder."""
    return RunRecord.model_validate_json(_file(folder, member, seed).read_text())


def _file(folder: Path, member: str, seed: int) -> Path:
    return folder / member / f"seed_{seed}.json"


def read_metrics(run: Run) -> dict[str, float]:
    """The values of a finished run's columns, by heading.

    Raises:
        SweepError: a metrics file has no such value, or it is not a finite number.
    """
    found = {}
    for heading, place in run.columns.items():
        dataset, _, key = place.partition(":")
        metrics = json.loads(run.files[dataset].read_text())
        value = look_up_metric(metrics, key)
        if value is None:
            raise SweepError(
                f"column {heading}: {dataset} has no metric {key!r}; it has "
                f"{', '.join(_names(metrics)) or 'none'}. Correct `columns` and run again: "
                "finished work is kept"
            )
        if not math.isfinite(value):
            raise SweepError(f"column {heading}: {place} is {value}")
        found[heading] = value
    return found


def look_up_metric(metrics: Mapping[str, Any], key: str) -> float | None:
    """The metric at a dotted key, whose parts may themselves contain dots."""
    value = metrics.get(key)
    if isinstance(value, int | float):
        return float(value)
    for name, inner in metrics.items():
        if isinstance(inner, Mapping) and key.startswith(f"{name}."):
            found = look_up_metric(inner, key.removeprefix(f"{name}."))
            if found is not None:
                return found
    return None


def _names(metrics: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The dotted keys of all metrics."""
    found = []
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            found += _names(value, f"{prefix}{name}.")
        elif isinstance(value, int | float):
            found.append(f"{prefix}{name}")
    return found


def runs_table(sweep: SweepConfig, records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per run: member, seed, status, each column's value, and why it failed, if it did."""
    return pd.DataFrame(
        [
            {
                "member": r.member,
                "seed": r.seed,
                "status": r.status,
                **{heading: r.metrics.get(heading) for heading in sweep.columns},
                "reason": r.reason,
            }
            for r in records
        ]
    )


def members_table(sweep: SweepConfig, records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row per member: mean and sample standard deviation of each column over its seeds."""
    rows = []
    for member in sweep.members:
        own = [r for r in records if r.member == member.name]
        finished = [r for r in own if r.status == "finished"]
        row: dict[str, Any] = {"member": member.name, "seeds": len(finished)}
        for heading in sweep.columns:
            values = pd.Series([r.metrics[heading] for r in finished], dtype=float)
            row |= {heading: values.mean(), f"{heading} std": values.std()}  # std: NaN for one seed
        row["failed"] = len(own) - len(finished)
        row["reason"] = "; ".join(dict.fromkeys(r.reason for r in own if r.reason))
        rows.append(row)
    return pd.DataFrame(rows)


def metrics(sweep: SweepConfig, records: Sequence[RunRecord]) -> dict[str, Any]:
    """By member and column: mean, standard deviation (of several seeds), and every seed's value."""
    found: dict[str, Any] = {}
    for row in members_table(sweep, records).to_dict("records"):
        name = row["member"]
        finished = [r for r in records if r.member == name and r.status == "finished"]
        found[name] = {"finished": row["seeds"], "failed": row["failed"]}
        for heading in sweep.columns if finished else ():
            values = {f"seed_{r.seed}": r.metrics[heading] for r in finished}
            spread = {"std": float(row[f"{heading} std"])} if len(finished) > 1 else {}
            found[name][heading] = {"mean": float(row[heading]), **spread, **values}
    return found
