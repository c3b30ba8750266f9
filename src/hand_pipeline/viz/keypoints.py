"""Hands with the joints that a detector saw in them, beside the labelled ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.photos.files import BadPhoto
from hand_pipeline.viz.labels import Tile, label_sheet
from hand_pipeline.viz.overlay import draw_skeleton

_LABELLED = "#ffffff"


class SeenHand(NamedTuple):
    """An image of a hand, the joints a detector saw in it, and the labelled ones.

    Attributes:
        caption: a line below it.
        image: RGB.
        points: detected, px of the image.
        found: which were.
        truth: labelled, px of the image.
        labelled: which are.
    """

    caption: str
    image: UInt8[np.ndarray, "height width 3"]
    points: Float[np.ndarray, "21 2"]
    found: Bool[np.ndarray, "21"]
    truth: Float[np.ndarray, "21 2"]
    labelled: Bool[np.ndarray, "21"]


def seen_hands(
    pictures: HandImages,
    keypoints: DetectedKeypoints,
    truth: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
    errors: Float[np.ndarray, " hands"],
    count: int,
    seed: int,
) -> list[SeenHand]:
    """Some hands at random, to draw; those that cannot be read are passed over.

    Args:
        pictures: the set.
        keypoints: detected, a row a hand of the set.
        truth: labelled joints of the same hands, px of the crops.
        labelled: which are.
        errors: of each hand in shares of its size; NaN where no joint was found.
        count: hands.
        seed: of the choice.
    """
    order = np.random.default_rng(seed).permutation(len(keypoints))
    places = {name: row for row, name in enumerate(pictures.ids)}
    chosen: list[SeenHand] = []
    for row in sorted(order[:count].tolist()):
        name = keypoints.ids[row]
        try:
            image = pictures.source(places[name]).load()
        except BadPhoto:
            continue
        error = "no joint found" if np.isnan(errors[row]) else f"{100 * errors[row]:.1f} % off"
        found = keypoints.confidence[row] > 0
        chosen.append(
            SeenHand(f"{name}: {error}", image, keypoints.points[row], found,
                     truth[row], labelled[row])
        )  # fmt: skip
    return chosen


def keypoints_sheet(hands: Sequence[SeenHand], columns: int = 6, tile: int = 192) -> Image.Image:
    """Hands with the joints a detector saw (a colour a finger) and the labelled ones (white rings).

    Args:
        hands: what is drawn.
        columns: hands in a row.
        tile: side of each hand on the sheet, px.

    Raises:
        ValueError: there are no hands.
    """
    drawn = []
    for hand in hands:
        scale = np.array([tile / hand.image.shape[1], tile / hand.image.shape[0]])
        image = Image.fromarray(hand.image).resize((tile, tile), Image.Resampling.BILINEAR)
        draw_skeleton(image, np.clip(hand.points * scale, -tile, 2 * tile), hand.found)
        draw = ImageDraw.Draw(image)
        for x, y in np.clip(hand.truth * scale, -tile, 2 * tile)[hand.labelled].tolist():
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=_LABELLED)
        drawn.append(Tile(hand.caption, image))
    return label_sheet(drawn, columns)
