"""HTML pages: a title, notes and sections. Figures and style are inside, nothing is fetched."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import jinja2
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

Drawn = Figure | Image.Image | bytes
"""A figure, an image, or the bytes of a PNG."""


class Cell(NamedTuple):
    """One cell of a table.

    Attributes:
        text: what it says.
        small: a second line in small print.
        look: `best` shades the cell, `words` lets its text wrap, the others make a chip of it.
        tip: shown when the mouse is over a heading.
    """

    text: str
    small: str = ""
    look: Literal["", "best", "words", "good", "bad", "open"] = ""
    tip: str = ""


class Table(NamedTuple):
    """Headings, and rows of as many cells."""

    head: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]


class Fold(NamedTuple):
    """A table or a text that a click folds and unfolds.

    Attributes:
        summary: the line that is always there.
        text: printed unchanged.
        table: shown below the note.
        note: what a reader must know about the table.
        open: whether it starts unfolded.
        aside: behind the summary, in brackets.
    """

    summary: str
    text: str = ""
    table: Table | None = None
    note: str = ""
    open: bool = False
    aside: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and its parts, in this order; empty ones are left out.

    Attributes:
        heading: of the section.
        chips: short marked words in a line.
        table: cells.
        note: a paragraph below the table.
        figures: by caption.
        terms: words and their meanings.
        folds: what can be folded away.
        items: lines of a list.
    """

    heading: str
    chips: Sequence[Cell] = ()
    table: Table | None = None
    note: str = ""
    figures: Mapping[str, Drawn] = field(default_factory=dict)
    terms: Mapping[str, str] = field(default_factory=dict)
    folds: Sequence[Fold] = ()
    items: Sequence[str] = ()


def render_page(title: str, notes: Sequence[str], sections: Sequence[Section]) -> str:
    """The page as a string; equal values give equal pages."""
    loader = jinja2.PackageLoader("hand_pipeline", "assets")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("page.html.j2")
    return template.render(title=title, notes=notes, sections=sections, data_uri=data_uri)


def plain_table(table: pd.DataFrame) -> Table:
    """A table in words: no underscores in its headings, four digits, nothing for NaN."""

    def text(value: Any) -> str:
        if isinstance(value, float):
            return "" if pd.isna(value) else f"{value:.4g}"
        return str(value)

    head = [Cell(str(column).replace("_", " ")) for column in table.columns]
    rows = table.itertuples(index=False, name=None)
    return Table(head, [[Cell(text(value)) for value in row] for row in rows])


def data_uri(drawn: Drawn) -> str:
    """A figure as a data URI: a PNG in base64."""
    if isinstance(drawn, bytes):
        content = drawn
    else:
        buffer = io.BytesIO()
        if isinstance(drawn, Figure):
            # No date and version inside, so that the same run gives the same bytes.
            drawn.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        else:
            drawn.save(buffer, format="PNG")
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
