"""Our own figures, as pipelines and sweeps leave them: a row a model, a column a metric."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ONE_RUN = -1
"""Stands for the seed of a table that a single run left, and that does not say which."""


@dataclass(frozen=True)
class FigureTable:
    """What one table holds.

    Attributes:
        name: its file is NAME_runs_table.csv, NAME_table.csv or NAME_metrics.json.
        figures: a line a figure: `row`, `metric`, `seed` (`ONE_RUN` where none is named), `value`,
            finite.
        failed: why a row has seeds without figures.
    """

    name: str
    figures: pd.DataFrame
    failed: dict[str, str] = field(default_factory=dict)

    def seeds(self, row: str, metric: str) -> pd.Series:
        """The figure of each seed; empty where there is none."""
        chosen = self.figures[(self.figures["row"] == row) & (self.figures["metric"] == metric)]
        return chosen.set_index("seed")["value"].astype(float)

    def lacks(self, row: str, metric: str) -> str:
        """What is missing for a figure, as words; empty where it is there."""
        if len(self.seeds(row, metric)):
            return ""
        if row in self.failed:
            return f"{row} of {self.name} failed: {self.failed[row]}"
        rows = list(dict.fromkeys(self.figures["row"]))
        if row not in rows:
            return f"{self.name} has no row {row!r}; it has {', '.join(rows) or 'none'}"
        metrics = list(dict.fromkeys(self.figures.loc[self.figures["row"] == row, "metric"]))
        return f"{row} of {self.name} has no {metric!r}; it has {', '.join(metrics) or 'none'}"


def read_figure_tables(folder: Path, names: Iterable[str]) -> dict[str, FigureTable]:
    """The tables of these names that are there; the others have not been run.

    Of a sweep the runs count, seed by seed; of a pipeline its table, or else its metrics, in which
    a group of figures is a row (plain figures are a row named after the file).

    Raises:
        ValueError: a file is not what its name says.
    """
    found = {}
    for name in dict.fromkeys(names):
        table = _read(folder, name)
        if table is not None:
            found[name] = table
    return found


def _read(folder: Path, name: str) -> FigureTable | None:
    runs, rows, metrics = (
        folder / f"{name}_{kind}" for kind in ("runs_table.csv", "table.csv", "metrics.json")
    )
    try:
        if runs.is_file():
            return _from_runs(name, pd.read_csv(runs))
        if rows.is_file():
            table = pd.read_csv(rows)
            label = str(table.columns[0])
            return FigureTable(
                name, _long(table.rename(columns={label: "row"}).assign(seed=ONE_RUN))
            )
        if metrics.is_file():
            return _from_metrics(name, json.loads(metrics.read_text(encoding="utf-8")))
    except (ValueError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{name}'s results in {folder} cannot be read ({error}); run the pipeline again"
        ) from error
    return None


def _from_runs(name: str, runs: pd.DataFrame) -> FigureTable:
    bad = runs[runs["status"] != "finished"]
    failed = {
        str(member): "; ".join(dict.fromkeys(str(reason) for reason in rows["reason"].dropna()))
        for member, rows in bad.groupby("member", sort=False)
    }
    good = runs[runs["status"] == "finished"].drop(columns=["status", "reason"])
    return FigureTable(name, _long(good.rename(columns={"member": "row"})), failed)


def _from_metrics(name: str, metrics: dict[str, Any]) -> FigureTable:
    groups = {name: metrics, **{k: v for k, v in metrics.items() if isinstance(v, dict)}}
    rows = [
        {"row": row, **{k: v for k, v in group.items() if isinstance(v, int | float)}}
        for row, group in groups.items()
    ]
    return FigureTable(name, _long(pd.DataFrame(rows).assign(seed=ONE_RUN)))


def _long(table: pd.DataFrame) -> pd.DataFrame:
    """A line a figure; what is no finite number is left out."""
    long = table.melt(["row", "seed"], var_name="metric", value_name="value")
    long["row"] = long["row"].astype(str)
    long["value"] = pd.to_numeric(long["value"], errors="coerce")
    return long[np.isfinite(long["value"])].reset_index(drop=True)
