"""What all of matplotlib's figures share, and how they become images."""

import io
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image


def to_image(figure: Figure, dpi: int = 120) -> Image.Image:
    """Draw `figure` and close it. The same figure gives the same pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, bbox_inches="tight", format="png")
    plt.close(figure)
    with Image.open(buffer) as image:
        return image.convert("RGB")


def plain_axes(axes: Axes) -> None:
    """The project's look: a faint grid, no box around it."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)


def stacked(pictures: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Pictures below one another on white, at their left edges.

    Raises:
        ValueError: there are none.
    """
    if not pictures:
        raise ValueError("expected at least one picture to stack, got none")
    heights = [picture.height + gap for picture in pictures]
    sheet = Image.new("RGB", (max(p.width for p in pictures), sum(heights) - gap), "white")
    for picture, top in zip(pictures, [sum(heights[:i]) for i in range(len(heights))]):
        sheet.paste(picture, (0, top))
    return sheet
