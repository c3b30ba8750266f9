"""The papers' tables beside ours, and which of their claims hold in our runs."""

from collections import Counter
from pathlib import Path

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.evaluation.claims import FEWEST_SEEDS, ClaimConfig, Verdict, judge_claims
from hand_pipeline.evaluation.figure_tables import FigureTable, read_figure_tables
from hand_pipeline.evaluation.paper_tables import ComparedTable, compare, display
from hand_pipeline.viz.claims import TableSection, render_claims

_MEANINGS = {
    Verdict.HOLDS: ("good", "The means are in this order, and every step's p is at most {alpha}."),
    Verdict.NOT_SHOWN: (
        "open", "The means are in this order; some step's p is above {alpha}."
    ),
    Verdict.UNTESTED: (
        "open", "The means are in this order; with fewer than {fewest} seeds no test can be made."
    ),
    Verdict.FAILS: ("bad", "The means are not in this order (or equal); that may be chance too."),
    Verdict.CONTRADICTED: ("bad", "Some step is the other way round, with a p of at most {alpha}."),
    Verdict.NOT_RUN: ("open", "A figure that it needs is not there; the last column says which."),
}  # fmt: skip
_HOW = (
    "A claim is an order of rows. Each row is compared with the next over the seeds that both have"
    " been run with: from 5 to 16 seeds by an exact test over all signs of the differences,"
    " otherwise by Student's paired t-test, one-sided, from {fewest} seeds on. All steps of a chain"
    " must hold, so its p is the largest of theirs. There are {count} claims and no correction for"
    " their number: about {chance:.1f} of as many false ones would pass by chance."
)
_WHERE = "Our figures were measured on: {data}. The papers' are those of their prints."
_OPEN_HAND = (
    " The open hand is synthetic and ships with the project: its figures compare our rows with each"
    " other and are no reproduction of a paper's, which need the licensed MANO model and real data."
)


_TRIAL = (
    "The figures on this page mean nothing. {why} They show that the runs, the tables and this page"
    " work; no verdict below is a result."
)


class ClaimsConfig(Config):
    """What the page compares, and how claims are judged."""

    data: str = Field(description="what our figures were measured on, as the page calls it")
    open_hand: bool = Field(description="say that they are no reproduction of a paper")
    trial: str = Field("", description="why our figures mean nothing; empty where they do")
    alpha: float = Field(0.05, gt=0, lt=1, description="largest p that shows a step; our choice")
    tables: tuple[ComparedTable, ...] = Field(description="the papers' tables, in order")
    claims: tuple[ClaimConfig, ...] = Field(description="what the papers say, in order")
    pictures: dict[str, str] = Field({}, description="file of the reports' folder by caption")


def write_claims(
    reporting: Path, cfg: ClaimsConfig
) -> tuple[str, pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """The page, the claims, the papers' figures beside ours, and how many claims stand how.

    What has not been run is listed as not run.
    """
    names = [table.ours for table in cfg.tables if table.ours]
    found = read_figure_tables(reporting, [*names, *(claim.table for claim in cfg.claims)])
    claims = judge_claims(cfg.claims, found, cfg.alpha)
    compared = compare(cfg.tables, found)
    drawn = {
        caption: (reporting / name).read_bytes()
        for caption, name in cfg.pictures.items()
        if (reporting / name).is_file()
    }
    words = {"alpha": f"{cfg.alpha:g}", "fewest": FEWEST_SEEDS}
    notes = [
        *([_TRIAL.format(why=cfg.trial)] if cfg.trial else []),
        _WHERE.format(data=cfg.data) + (_OPEN_HAND if cfg.open_hand else ""),
        _HOW.format(**words, count=len(cfg.claims), chance=cfg.alpha * len(cfg.claims)),
    ]
    page = render_claims(
        "The papers' claims and tables, and ours",
        claims,
        {
            verdict.value: (kind, text.format(**words))
            for verdict, (kind, text) in _MEANINGS.items()
        },
        [_section(table, compared, cfg.data) for table in cfg.tables],
        drawn,
        _missing(cfg, found, drawn),
        notes,
    )
    claims, compared = (table.assign(measured_on=cfg.data) for table in (claims, compared))
    stand = Counter(claims["verdict"])
    counts = {verdict.name.lower(): stand[verdict.value] for verdict in Verdict}
    return page, claims, compared.drop(columns="shown"), counts


def _section(table: ComparedTable, compared: pd.DataFrame, data: str) -> TableSection:
    lines = compared[(compared["paper"] == table.paper) & (compared["table"] == table.table)]
    return TableSection(
        f"{table.paper}, table {table.table}: {table.title}",
        display(lines, "paper", f"ours ({data})"),
        bool(lines["seeds"].any()),
        table.note,
    )


def _missing(
    cfg: ClaimsConfig, found: dict[str, FigureTable], drawn: dict[str, bytes]
) -> list[str]:
    """A line a table that no pipeline has left, a failed row, and a picture that is not there."""
    lines = []
    wanted = {t.ours: f"{t.paper}, table {t.table}" for t in reversed(cfg.tables) if t.ours}
    wanted |= {c.table: wanted.get(c.table, c.paper) for c in cfg.claims}
    for name, where in wanted.items():
        if name not in found:
            lines.append(f"{name} ({where})")
        else:
            lines += [f"{name}, {row}: failed, {why}" for row, why in found[name].failed.items()]
    none = [f"{t.paper} table {t.table} ({t.title})" for t in cfg.tables if t.ours is None]
    lines += [f"{each}: no pipeline of ours makes it" for each in none]
    return lines + [f"picture: {caption}" for caption in cfg.pictures if caption not in drawn]


def create_pipeline() -> Pipeline:
    """Whatever other pipelines and sweeps have left in, one page and two tables out."""
    return Pipeline(
        [
            Node(
                write_claims,
                ["reporting", "params:claims"],
                ["claims_page", "claims_table", "claims_comparison_table", "claims_metrics"],
                name="write_claims",
            )
        ]
    )
