"""The papers' own figures beside ours."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import pandas as pd
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.evaluation.claims import mean_and_spread
from hand_pipeline.evaluation.figure_tables import FigureTable

NOT_RUN = "not run"


class ComparedTable(Config):
    """A table of a paper, and where our counterparts of its rows and columns stand."""

    paper: str = Field(description="HandMIM, MaskHand or S2HAND")
    table: int = Field(gt=0, description="its number in the paper")
    title: str = Field(description="what it shows")
    ours: str | None = Field(None, description="NAME of NAME_runs_table, NAME_table, NAME_metrics")
    rows: dict[str, str] = Field({}, description="our row by the paper's")
    metrics: dict[str, str] = Field({}, description="our column by the paper's; absent: the same")
    row_metrics: dict[str, dict[str, str]] = Field(
        {}, description="the same of one row of the paper, where our row has them as columns"
    )
    datasets: tuple[str, ...] = Field(
        (), description="the paper's data sets that ours stand for; empty: the table has one alone"
    )
    further: tuple[str, ...] = Field((), description="rows of ours that the paper lacks")
    note: str = Field("", description="what a reader must know to compare")


def read_paper_tables() -> pd.DataFrame:
    """The papers' figures: paper, table, dataset, row, metric, value, note.

    Units are ours (mm); where the print has others, the note says what is printed.
    """
    with (files("hand_pipeline.assets") / "papers/tables.csv").open(encoding="utf-8") as handle:
        return pd.read_csv(handle, dtype={"row": str}, keep_default_na=False)


def compare(declared: Sequence[ComparedTable], tables: Mapping[str, FigureTable]) -> pd.DataFrame:
    """A line a figure of the papers, or of a row of ours that they lack.

    Columns: paper, table, title, dataset, row, metric, theirs (NaN where the paper has none), ours
    (mean over seeds, NaN where it has not been run), std (NaN of one seed), seeds, our_row (where
    we have a counterpart), note.

    Raises:
        ValueError: a row or column is declared that the paper's table does not have.
    """
    paper = read_paper_tables()
    lines = [_lines(each, paper, tables) for each in declared]
    return pd.concat(lines, ignore_index=True)


def display(compared: pd.DataFrame, theirs: str, ours: str) -> pd.DataFrame:
    """One table of the papers as words: a line a row, a pair of columns a metric.

    Args:
        compared: the lines of one table (`compare`).
        theirs, ours: what to call the two columns of a metric.
    """
    shown: dict[tuple[str, str], dict[str, str]] = {}
    for line in compared.to_dict("records"):
        cells = shown.setdefault((line["dataset"], line["row"]), {})
        cells[f"{line['metric']}, {theirs}"] = (
            "" if pd.isna(line["theirs"]) else f"{line['theirs']:g}"
        )
        cells[f"{line['metric']}, {ours}"] = line["shown"]
        if line["our_row"]:
            cells["our row"] = line["our_row"]
        if line["note"] and line["note"] not in cells.get("note", ""):
            cells["note"] = "; ".join(filter(None, [cells.get("note", ""), line["note"]]))
    rows = [{"dataset": d, "row": r, **cells} for (d, r), cells in shown.items()]
    table = pd.DataFrame(rows).fillna("")
    last = [column for column in ("our row", "note") if column in table]
    return table[[column for column in table if column not in last] + last]


def _lines(
    declared: ComparedTable, paper: pd.DataFrame, tables: Mapping[str, FigureTable]
) -> pd.DataFrame:
    chosen = paper[(paper["paper"] == declared.paper) & (paper["table"] == declared.table)]
    _check(declared, chosen)
    ours = tables.get(declared.ours or "")
    common = {"paper": declared.paper, "table": declared.table, "title": declared.title}
    lines = []
    for line in chosen.to_dict("records"):
        row, metric = line["row"], line["metric"]
        names = declared.metrics | declared.row_metrics.get(row, {})
        same = not declared.datasets or line["dataset"] in declared.datasets
        lines.append({
            **common, "dataset": line["dataset"], "row": row, "metric": metric,
            "theirs": line["value"], "note": line["note"],
            **_ours(ours, declared.rows.get(row, "") if same else "", names.get(metric, metric)),
        })  # fmt: skip
    for row in declared.further:
        for metric in dict.fromkeys(chosen["metric"]):
            lines.append({
                **common, "dataset": "ours alone", "row": row, "metric": metric,
                "theirs": float("nan"), "note": "",
                **_ours(ours, row, declared.metrics.get(metric, metric)),
            })  # fmt: skip
    columns = "paper table title dataset row metric theirs ours std seeds shown our_row note"
    return pd.DataFrame(lines, columns=columns.split())


def _ours(table: FigureTable | None, row: str, metric: str) -> dict[str, object]:
    nothing = {"ours": float("nan"), "std": float("nan"), "seeds": 0, "our_row": row}
    if not row:
        return {**nothing, "shown": "no counterpart"}
    seeds = pd.Series(dtype=float) if table is None else table.seeds(row, metric)
    if seeds.empty:
        return {**nothing, "shown": _why_empty(table, row)}
    count = f" ({len(seeds)} seeds)" if len(seeds) > 1 else " (1 run)"
    return {
        "ours": float(seeds.mean()), "std": float(seeds.std()), "seeds": len(seeds),
        "our_row": row, "shown": mean_and_spread(seeds) + count,
    }  # fmt: skip


def _why_empty(table: FigureTable | None, row: str) -> str:
    if table is None:
        return NOT_RUN
    if (table.figures["row"] == row).any():
        return "not measured"
    return "failed" if row in table.failed else NOT_RUN


def _check(declared: ComparedTable, chosen: pd.DataFrame) -> None:
    name = f"{declared.paper} table {declared.table}"
    if chosen.empty:
        raise ValueError(f"the shipped figures have no {name}")
    several = sorted(set(chosen["dataset"]))
    if declared.rows and len(several) > 1 and not declared.datasets:
        raise ValueError(
            f"{name} has the data sets {'; '.join(several)}: say in `datasets` for which of them "
            "ours stand, else one number of ours would be put beside those of all"
        )
    for what, wanted in (
        ("dataset", list(declared.datasets)),
        ("row", [*declared.rows, *declared.row_metrics]),
        ("metric", list(declared.metrics)),
    ):
        if unknown := set(wanted) - set(chosen[what]):
            raise ValueError(
                f"{name} has no {what} {', '.join(sorted(unknown))}; "
                f"it has {'; '.join(dict.fromkeys(chosen[what]))}"
            )
