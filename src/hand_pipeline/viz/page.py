"""What all HTML pages share: templates and style, tables as words, pictures inside the page."""

import base64
import io
from typing import Any

import jinja2
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

Picture = Figure | Image.Image | bytes


def render_page(template: str, **values: Any) -> str:
    """One of the package's templates with its values; nothing of the page is fetched.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    loader = jinja2.PackageLoader("hand_pipeline", "assets")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render(**values)


def plain_table(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """A table's headings and rows as words, fractions with four digits."""

    def text(value: Any) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    body = [[text(v) for v in row] for row in table.itertuples(index=False, name=None)]
    return [str(column) for column in table.columns], body


def data_uri(picture: Picture) -> str:
    """A figure, an image or the bytes of a PNG, as the address of itself."""
    if isinstance(picture, bytes):
        content = picture
    else:
        buffer = io.BytesIO()
        if isinstance(picture, Figure):
            # No date and version inside, so that the same run gives the same bytes.
            picture.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        else:
            picture.save(buffer, format="PNG")
        content = buffer.getvalue()
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")
