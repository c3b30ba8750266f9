"""A sweep's result: a row a run, a row a member with mean and spread, and the figures as JSON."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hand_pipeline.sweeps.declaration import SweepConfig
from hand_pipeline.sweeps.records import RunRecord


def runs_table(sweep: SweepConfig, records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a run: member, seed, each column's figure, and why it failed where it did."""
    return pd.DataFrame(
        [
            {
                "member": r.member,
                "seed": r.seed,
                "status": r.status,
                **{heading: r.figures.get(heading) for heading in sweep.columns},
                "reason": r.reason,
            }
            for r in records
        ]
    )


def members_table(sweep: SweepConfig, records: Sequence[RunRecord]) -> pd.DataFrame:
    """One row a member: mean and sample standard deviation of each column over its seeds."""
    rows = []
    for member in sweep.members:
        own = [r for r in records if r.member == member.name]
        finished = [r for r in own if r.status == "finished"]
        row: dict[str, Any] = {"member": member.name, "seeds": len(finished)}
        for heading in sweep.columns:
            values = pd.Series([r.figures[heading] for r in finished], dtype=float)
            row |= {heading: values.mean(), f"{heading} std": values.std()}  # std: NaN for one seed
        row["failed"] = len(own) - len(finished)
        row["reason"] = "; ".join(dict.fromkeys(r.reason for r in own if r.reason))
        rows.append(row)
    return pd.DataFrame(rows)


def metrics(sweep: SweepConfig, records: Sequence[RunRecord]) -> dict[str, Any]:
    """By member and column: mean, spread where there are two seeds, and every seed's figure."""
    found: dict[str, Any] = {}
    for row in members_table(sweep, records).to_dict("records"):
        name = row["member"]
        finished = [r for r in records if r.member == name and r.status == "finished"]
        found[name] = {"finished": row["seeds"], "failed": row["failed"]}
        for heading in sweep.columns if finished else ():
            figures = {f"seed_{r.seed}": r.figures[heading] for r in finished}
            spread = {"std": float(row[f"{heading} std"])} if len(finished) > 1 else {}
            found[name][heading] = {"mean": float(row[heading]), **spread, **figures}
    return found
