"""From matplotlib's figures to images."""

import io

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from PIL import Image


def to_image(figure: Figure, dpi: int = 120) -> Image.Image:
    """Draw `figure` and close it. The same figure gives the same pixels."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=dpi, bbox_inches="tight", format="png")
    plt.close(figure)
    with Image.open(buffer) as image:
        return image.convert("RGB")
