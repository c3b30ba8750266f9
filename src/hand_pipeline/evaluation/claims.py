"""Which of the papers' claims hold in our runs: orders of rows, judged over seeds.

A claim says in which order the figures of some rows come. It is judged step by step, each row
against the next, over the seeds that both have. A chain holds only if all of its steps do, so its
p is the largest of theirs (an intersection-union test: no correction is needed within a claim;
between claims there is none).
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field, model_validator
from scipy import stats

from hand_pipeline.config import Config
from hand_pipeline.evaluation.figure_tables import FigureTable

FEWEST_SEEDS = 3
"""With fewer no test can be made."""
_FEWEST_FLIPPED = 5  # below, even differences of one sign cannot reach 0.05: 1 / 2**4 is 0.0625
_MOST_FLIPPED = 16  # beyond, all signs are too many to go through and the mean is near normal


class Place(Config):
    """One figure of a table."""

    row: str = Field(description="member of a sweep, or model of a table")
    metric: str | None = Field(None, description="column; null: the claim's")

    @model_validator(mode="before")
    @classmethod
    def _row_alone(cls, value: Any) -> Any:
        return {"row": value} if isinstance(value, str) else value


class ClaimConfig(Config):
    """What a paper says about the order of its figures, and where ours stand."""

    sentence: str = Field(description="the claim, in words")
    paper: str = Field(description="whose, and where")
    table: str = Field(description="ours: NAME of NAME_runs_table, NAME_table or NAME_metrics")
    metric: str = Field(description="column that is compared")
    ascending: tuple[Place, ...] = Field(min_length=2, description="rows, smallest figure first")
    strict: bool = Field(True, description="each smaller than the next; false: not larger")


class Verdict(StrEnum):
    """What can be said of a claim."""

    HOLDS = "holds"
    UNTESTED = "same order, no test possible"
    NOT_SHOWN = "same order, may be chance"
    FAILS = "does not hold"
    CONTRADICTED = "the reverse holds"
    NOT_RUN = "not run"


class PairedTest(NamedTuple):
    """Whether differences are above zero.

    Attributes:
        p: chance of a mean at least as large if there were none; None: no test can be made.
        how: the test, or why there is none.
    """

    p: float | None
    how: str


class Step(NamedTuple):
    """One row against the next.

    Attributes:
        difference: mean over the seeds of the next row's figure less this row's.
        seeds: that both rows have.
        test: that the difference is above zero.
        reverse: that it is below.
    """

    difference: float
    seeds: int
    test: PairedTest
    reverse: PairedTest


def judge_claims(
    claims: Sequence[ClaimConfig], tables: Mapping[str, FigureTable], alpha: float
) -> pd.DataFrame:
    """A row a claim: its words, the verdict, the figures, paired seeds, p, the test or the reason.

    Args:
        claims: what to judge.
        tables: those that have been run, by name.
        alpha: a step is shown where its p is not larger.
    """
    rows = []
    for claim in claims:
        row = {"claim": claim.sentence, "paper": claim.paper, "table": claim.table}
        rows.append({**row, "metric": claim.metric, **_judge(claim, tables, alpha)})
    columns = ["claim", "paper", "table", "metric", "verdict", "figures", "seeds", "p", "test"]
    return pd.DataFrame(rows, columns=columns)


def paired_test(differences: Float[np.ndarray, " seeds"]) -> PairedTest:
    """One-sided test that the mean of one figure less another, seed by seed, is above zero.

    From 5 to 16 seeds all signs of the differences are gone through (exact, and nothing is taken
    for normal); with 3 or 4 that could never reach 0.05, so Student's paired t-test stands in,
    which takes the differences for normal. Where they are all the same, t has no spread to divide
    by and the signs decide at any number of seeds.
    """
    seeds = len(differences)
    if seeds < FEWEST_SEEDS:
        return PairedTest(None, f"no test: {seeds} seed{'' if seeds == 1 else 's'}")
    if not differences.any():
        return PairedTest(1.0, "equal for every seed")
    alike = float(differences.std()) <= 1e-12 * float(np.abs(differences).max())
    if alike or _FEWEST_FLIPPED <= seeds <= _MOST_FLIPPED:
        return PairedTest(_flip_signs(differences[:_MOST_FLIPPED]), f"sign flips, {seeds} seeds")
    p = float(stats.ttest_1samp(differences, 0.0, alternative="greater").pvalue)
    return PairedTest(p, f"paired t-test, {seeds} seeds")


def _judge(claim: ClaimConfig, tables: Mapping[str, FigureTable], alpha: float) -> dict[str, Any]:
    table = tables.get(claim.table)
    places = [(place.row, place.metric or claim.metric) for place in claim.ascending]
    nothing: dict[str, Any] = {"verdict": Verdict.NOT_RUN.value, "seeds": 0, "p": None}
    if table is None:
        return {**nothing, "figures": "", "test": f"{claim.table} has not been run"}
    figures = "; ".join(_shown(table, *place, claim.metric) for place in places)
    if gaps := [gap for place in places if (gap := table.lacks(*place))]:
        return {**nothing, "figures": figures, "test": "; ".join(dict.fromkeys(gaps))}
    found = [table.seeds(*place) for place in places]
    steps = [_step(low, high) for low, high in pairwise(found)]
    if not all(step.seeds for step in steps):
        return {**nothing, "figures": figures, "test": "the rows have no seed in common"}
    tested = [step.test.p for step in steps if step.test.p is not None]
    p = max(tested) if len(tested) == len(steps) else None
    return {
        "verdict": _verdict(steps, claim.strict, p, alpha).value,
        "figures": figures,
        "seeds": min(step.seeds for step in steps),
        "p": p,
        "test": "; ".join(dict.fromkeys(step.test.how for step in steps)),
    }


def _step(low: pd.Series, high: pd.Series) -> Step:
    seeds = low.index.intersection(high.index)
    differences = (high[seeds] - low[seeds]).to_numpy(dtype=float)
    mean = float(differences.mean()) if len(seeds) else float("nan")
    return Step(mean, len(seeds), paired_test(differences), paired_test(-differences))


def _verdict(steps: Sequence[Step], strict: bool, p: float | None, alpha: float) -> Verdict:
    """Against the order is worse than untested, untested worse than may be chance."""
    against = [s for s in steps if s.difference < 0 or (strict and s.difference == 0)]
    if any(s.reverse.p is not None and s.reverse.p <= alpha for s in against):
        return Verdict.CONTRADICTED
    if against:
        return Verdict.FAILS
    if p is None:
        return Verdict.UNTESTED
    return Verdict.HOLDS if p <= alpha else Verdict.NOT_SHOWN


def _shown(table: FigureTable, row: str, metric: str, usual: str) -> str:
    """A row with its mean and spread, as words."""
    name = row if metric == usual else f"{row} {metric}"
    return f"{name} {mean_and_spread(table.seeds(row, metric)) or 'not run'}"


def mean_and_spread(seeds: pd.Series) -> str:
    """`mean ± sample standard deviation`; the figure alone of one seed; nothing of none."""
    if seeds.empty:
        return ""
    spread = f" ± {float(np.std(seeds, ddof=1)):.2g}" if len(seeds) > 1 else ""
    return f"{float(seeds.mean()):.4g}{spread}"


def _flip_signs(differences: np.ndarray) -> float:
    """Share of all signs that give a sum at least as large."""
    count = len(differences)
    signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
    sums, seen = signs @ differences, differences.sum()
    return float((sums >= seen - 1e-12 * np.abs(differences).sum()).mean())
