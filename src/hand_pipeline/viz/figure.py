"""The look of all matplotlib figures, and how a figure becomes an image."""

import io

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

COLOURS = ("#8a8f98", "#e07a3f", "#2f6db3", "#3a9a6b", "#8c5bb5", "#b8405e")
"""One a model, in the order given; the first is grey, for a baseline."""


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
