"""The page of the papers' claims: what holds in our runs, and their tables beside ours."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from hand_pipeline.viz.page import Picture, data_uri, plain_table, render_page


class TableSection(NamedTuple):
    """One table of a paper, theirs beside ours.

    Attributes:
        heading: paper, number and title.
        table: cells as words.
        run: whether any of our figures is there; others are folded away.
        note: what a reader must know to compare.
    """

    heading: str
    table: pd.DataFrame
    run: bool
    note: str = ""


def render_claims(
    title: str,
    claims: pd.DataFrame,
    meanings: Mapping[str, tuple[str, str]],
    tables: Sequence[TableSection],
    pictures: Mapping[str, Picture],
    missing: Sequence[str],
    notes: Sequence[str],
) -> str:
    """The page as a string; pictures are inside it, nothing is fetched.

    Args:
        title: of the page.
        claims: a row a claim: claim, paper, table, metric, verdict, figures, seeds, p, test.
        meanings: kind (`good`, `bad` or `open`) and meaning of every verdict, in their order.
        tables: sections, one a table of a paper.
        pictures: curves by caption.
        missing: what has not been run, a line each.
        notes: paragraphs above all.

    Raises:
        ValueError: a verdict has no meaning.
    """
    if unknown := set(claims["verdict"]) - set(meanings):
        raise ValueError(f"verdicts without a meaning: {', '.join(sorted(unknown))}")
    counts = {v: int((claims["verdict"] == v).sum()) for v in meanings}
    shown = claims.astype(object).where(claims.notna(), None)
    sections = []
    for section in tables:
        columns, rows = plain_table(section.table)
        sections.append({**section._asdict(), "columns": columns, "rows": rows})
    return render_page(
        "claims.html.j2",
        title=title,
        notes=list(notes),
        counts={verdict: count for verdict, count in counts.items() if count},
        kinds={verdict: kind for verdict, (kind, _) in meanings.items()},
        meanings={verdict: meaning for verdict, (_, meaning) in meanings.items()},
        claims=[{**row, "p": _p(row["p"])} for row in shown.to_dict("records")],
        tables=sections,
        pictures={caption: data_uri(picture) for caption, picture in pictures.items()},
        missing=list(missing),
    )


def _p(p: float | None) -> str:
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
