"""Detected joints over the pictures they were found in, with the labelled ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from hand_pipeline.viz.labelled_hands import LabelledHand, label_sheet
from hand_pipeline.viz.overlay import draw_skeleton

_TRUE = "#ffffff"


class SeenHand(NamedTuple):
    """A picture of a hand, the joints a detector saw in it, and the labelled ones.

    Attributes:
        title: a line below it.
        image: RGB.
        points: detected, px of the image.
        found: which were.
        truth: labelled, px of the image.
        labelled: which are.
    """

    title: str
    image: UInt8[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "21 2"]
    found: Bool[np.ndarray, "21"]
    truth: Float[np.ndarray, "21 2"]
    labelled: Bool[np.ndarray, "21"]


def keypoints_sheet(hands: Sequence[SeenHand], columns: int = 6, tile: int = 192) -> Image.Image:
    """Hands with the joints a detector saw (a colour a finger) and the labelled ones (white rings).

    Args:
        hands: what is drawn.
        columns: hands in a row.
        tile: side of each hand's picture on the sheet, px.

    Raises:
        ValueError: there are no hands.
    """
    drawn = []
    for hand in hands:
        scale = np.array([tile / hand.image.shape[1], tile / hand.image.shape[0]])
        picture = Image.fromarray(hand.image).resize((tile, tile), Image.Resampling.BILINEAR)
        # Kept near the picture, so that a wild point cannot stall the drawing.
        draw_skeleton(picture, np.clip(hand.points * scale, -tile, 2 * tile), hand.found)
        draw = ImageDraw.Draw(picture)
        for x, y in np.clip(hand.truth * scale, -tile, 2 * tile)[hand.labelled].tolist():
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=_TRUE)
        drawn.append(LabelledHand(hand.title, picture))
    return label_sheet(drawn, columns)
