"""What every scorer returns, and the checks on files that they share."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from hand_pipeline.files import atomic_write_text


@dataclass(frozen=True)
class Score:
    """The scores of one prediction file.

    Attributes:
        benchmark: key of `benchmarks.BENCHMARKS`.
        values: the official program's keys with its units, then our names (docs/conventions.md).
        per_sample: one row a hand with its id.
        warnings: why the prediction looks wrong, see `plausibility`.
        notes: what a reader of the figures must know besides.
    """

    benchmark: str
    values: dict[str, Any]
    per_sample: pd.DataFrame
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """One object for the command line; null where the official program has NaN."""
        values = _without_nan(self.values)
        return {
            "benchmark": self.benchmark,
            **values,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def write_per_sample(self, path: Path) -> None:
        """Write the table as .csv, or as .json (a list of objects).

        Raises:
            ValueError: another suffix.
        """
        if path.suffix == ".csv":
            atomic_write_text(path, self.per_sample.to_csv(index=False))
        elif path.suffix == ".json":
            rows = [_without_nan(row) for row in self.per_sample.to_dict(orient="records")]
            atomic_write_text(path, json.dumps(rows, indent=1, allow_nan=False) + "\n")
        else:
            raise ValueError(f"expected a .csv or .json file for the samples, got {path}")


def check_counts(expected: int, found: int, names: Sequence[str], what: str) -> None:
    """Refuse predictions in a plain list that is shorter or longer than the labels.

    Args:
        expected: number of labels.
        found: number of predictions.
        names: of the labelled samples.
        what: the file, for the message.

    Raises:
        ValueError: which indices are missing or too many.
    """
    if found < expected:
        raise ValueError(
            f"{what} has {found} hands, the labels have {expected}: {expected - found} are "
            f"missing. A list without names misses its last ones, index {found} ({names[found]}) "
            f"to {expected - 1} ({names[-1]}); if others were skipped, all after them are shifted, "
            "so predict the whole split in its own order"
        )
    if found > expected:
        raise ValueError(
            f"{what} has {found} hands, the labels have {expected}: index {expected} to "
            f"{found - 1} have no label; predict the split that the labels are of"
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
