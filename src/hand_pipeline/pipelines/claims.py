"""The papers' tables beside ours, and which of their claims hold in our runs."""

from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.evaluation.claims import FEWEST_SEEDS, ClaimConfig, Verdict, judge_claims
from hand_pipeline.evaluation.figure_tables import FigureTable, read_figure_tables
from hand_pipeline.evaluation.paper_tables import ComparedTable, compare, display
from hand_pipeline.viz.page import Cell, Fold, Section, Table, plain_table, render_page

MEANINGS: dict[Verdict, tuple[Literal["good", "bad", "open"], str]] = {
    Verdict.HOLDS: ("good", "The means are in this order, and every step's p is at most {alpha}."),
    Verdict.NOT_SHOWN: (
        "open", "The means are in this order; some step's p is above {alpha}."
    ),
    Verdict.UNTESTED: (
        "open", "The means are in this order; with fewer than {fewest} seeds no test can be made."
    ),
    Verdict.FAILS: ("bad", "The means are not in this order (or equal); that may be chance too."),
    Verdict.CONTRADICTED: ("bad", "Some step is the other way round, with a p of at most {alpha}."),
    Verdict.NOT_RUN: ("open", "A metric that it needs is missing; the last column says which."),
}  # fmt: skip
"""How the page marks each verdict, and what it means."""

_HEAD = ("claim", "verdict", "ours, mean ± standard deviation", "paired seeds", "p", "test")
_HOW = (
    "A claim is an order of rows. Each row is compared with the next over the seeds that both have"
    " been run with: from 5 to 16 seeds by an exact test over all signs of the differences,"
    " otherwise by Student's paired t-test, one-sided, from {fewest} seeds on. All steps of a chain"
    " must hold, so its p is the largest of theirs. There are {count} claims and no correction for"
    " their number: about {chance:.1f} of as many false ones would pass by chance."
)
_WHERE = "Our metrics were measured on: {data}. The papers' are those of their prints."
_OPEN_HAND = (
    " The open hand is synthetic and ships with the project: its metrics compare our rows with each"
    " other and do not reproduce a paper's, which need the licensed MANO model and real data."
)
_TRIAL = (
    "The metrics on this page mean nothing. {why} They show that the runs, the tables and this page"
    " work; no verdict below is a result."
)


class ClaimsConfig(Config):
    """What the page compares, and how claims are judged."""

    data: str = Field(description="what our metrics were measured on, as the page calls it")
    open_hand: bool = Field(description="say that they are no reproduction of a paper")
    trial: str = Field("", description="why our metrics mean nothing; empty where they do")
    alpha: float = Field(0.05, gt=0, lt=1, description="largest p that shows a step; our choice")
    tables: tuple[ComparedTable, ...] = Field(description="the papers' tables, in order")
    claims: tuple[ClaimConfig, ...] = Field(description="what the papers say, in order")
    pictures: dict[str, str] = Field({}, description="file of the reports' folder by caption")


def write_claims(
    reporting: Path, cfg: ClaimsConfig
) -> tuple[str, pd.DataFrame, pd.DataFrame, dict[str, int]]:
    """The page, the claims, the papers' metrics beside ours, and how many claims have each verdict.

    What has not been run is listed as not run.
    """
    names = [table.ours for table in cfg.tables if table.ours]
    found = read_figure_tables(reporting, [*names, *(claim.table for claim in cfg.claims)])
    claims = judge_claims(cfg.claims, found, cfg.alpha)
    compared = compare(cfg.tables, found)
    counts = Counter(claims["verdict"])
    drawn = {
        caption: (reporting / name).read_bytes()
        for caption, name in cfg.pictures.items()
        if (reporting / name).is_file()
    }
    sections = [
        _claims_section(claims, cfg.alpha),
        Section("The papers' tables", folds=[_fold(t, compared, cfg.data) for t in cfg.tables]),
        *([Section("Curves and hands", figures=drawn)] if drawn else []),
    ]
    if missing := _missing(cfg, found, drawn):
        sections.append(Section("What has not been run", items=missing))
    page = render_page("The papers' claims and tables, and ours", _notes(cfg), sections)
    claims, compared = (table.assign(measured_on=cfg.data) for table in (claims, compared))
    verdicts = {verdict.name.lower(): counts[verdict.value] for verdict in Verdict}
    return page, claims, compared.drop(columns="shown"), verdicts


def _notes(cfg: ClaimsConfig) -> list[str]:
    return [
        *([_TRIAL.format(why=cfg.trial)] if cfg.trial else []),
        _WHERE.format(data=cfg.data) + (_OPEN_HAND if cfg.open_hand else ""),
        _HOW.format(fewest=FEWEST_SEEDS, count=len(cfg.claims), chance=cfg.alpha * len(cfg.claims)),
    ]


def _claims_section(claims: pd.DataFrame, alpha: float) -> Section:
    """How many claims have each verdict, every claim with its test, and what the verdicts mean."""
    counts = Counter(claims["verdict"])
    shown = claims.astype(object).where(claims.notna(), None).to_dict("records")
    return Section(
        "Which of the papers' claims hold in our runs",
        chips=[
            Cell(f"{counts[verdict]} {verdict}", look=look)
            for verdict, (look, _) in MEANINGS.items()
            if counts[verdict]
        ],
        table=Table([Cell(name) for name in _HEAD], [_claim_row(claim) for claim in shown]),
        terms={
            verdict: meaning.format(alpha=f"{alpha:g}", fewest=FEWEST_SEEDS)
            for verdict, (_, meaning) in MEANINGS.items()
        },
    )


def _claim_row(claim: Mapping[Hashable, Any]) -> list[Cell]:
    where = f"{claim['paper']}; ours: {claim['table']}, {claim['metric']}"
    p = claim["p"]
    return [
        Cell(claim["claim"], where, "words"),
        Cell(claim["verdict"], look=MEANINGS[Verdict(claim["verdict"])][0]),
        Cell(claim["figures"], look="words"),
        Cell(str(claim["seeds"] or "")),
        Cell("" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"),
        Cell(claim["test"], look="words"),
    ]


def _fold(table: ComparedTable, compared: pd.DataFrame, data: str) -> Fold:
    """A table of a paper, theirs beside ours; folded where we have run none of it."""
    lines = compared[(compared["paper"] == table.paper) & (compared["table"] == table.table)]
    run = bool(lines["seeds"].any())
    return Fold(
        f"{table.paper}, table {table.table}: {table.title}",
        table=plain_table(display(lines, "paper", f"ours ({data})")),
        note=table.note,
        open=run,
        aside="" if run else "not run",
    )


def _missing(
    cfg: ClaimsConfig, found: dict[str, FigureTable], drawn: dict[str, bytes]
) -> list[str]:
    """A line a table that no pipeline has left, a failed row, and a figure that is not there."""
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
    return lines + [f"figure: {caption}" for caption in cfg.pictures if caption not in drawn]


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
