"""Several possible hands of one photo, ranked, each with the confidence its model gives it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hand_pipeline.data.photos.cropping import cut_square, squares_around
from hand_pipeline.viz.overlay import DrawnHand, draw_hands, side_view

_CAPTION, _GAP = 18, 4
_PAPER, _INK = (255, 255, 255), (40, 44, 52)
_CONTEXT = 1.5  # side of the window, longer sides of the box around all joints
_FAR = 1e4  # px
_LATE_RANKS = (100, 1000)  # shown behind the first ones, where there are so many


class Hypothesis(NamedTuple):
    """One possible hand.

    Attributes:
        hand: in the camera of the photo.
        confidence: 0 to 1.
    """

    hand: DrawnHand
    confidence: float


def hypotheses_picture(
    photo: UInt8[np.ndarray, "height width 3"],
    hands: Sequence[Sequence[Hypothesis]],
    intrinsics: Float[Tensor, "3 3"],
    most: int = 6,
    tile: int = 192,
) -> Image.Image:
    """A strip for each hand: its part of the photo, then its hypotheses, the most confident first.

    Each hypothesis is drawn over that part of the photo, and below it from the side, where what
    the photo leaves open shows.

    Args:
        photo: RGB.
        hands: the hypotheses of each hand, in any order.
        intrinsics: the photo's camera.
        most: hypotheses drawn of a hand, and behind them the 100th and the 1000th if there are so
            many; others with less confidence are left out.
        tile: side of each tile, px.

    Raises:
        ValueError: no hand, a hand without hypotheses, or a confidence outside 0 to 1.
    """
    if not hands or not all(hands):
        raise ValueError("expected at least one hand and one hypothesis of each")
    ranked = [_some_ranks(row, most) for row in hands]
    for row in ranked:
        for hypothesis in row.values():
            if not 0 <= hypothesis.confidence <= 1:
                raise ValueError(f"confidence must be 0 to 1, not {hypothesis.confidence}")
    width = (tile + _GAP) * (1 + max(map(len, ranked))) + _GAP
    height = _CAPTION + 2 * tile + 2 * _GAP
    sheet = Image.new("RGB", (width, height * len(ranked)), _PAPER)
    for number, row in enumerate(ranked):
        _paste_strip(sheet, number * height, photo, row, intrinsics, tile)
    return sheet


def _some_ranks(row: Sequence[Hypothesis], most: int) -> dict[int, Hypothesis]:
    """The hypotheses to draw, by their rank from 1, the most confident."""
    ranked = dict(enumerate(sorted(row, key=lambda found: -found.confidence), start=1))
    shown = [*range(1, most + 1), *(rank for rank in _LATE_RANKS if rank > most)]
    return {rank: ranked[rank] for rank in shown if rank in ranked}


def confidence_text(confidence: float) -> str:
    """A share as percent with two digits that count: "76 %", "5.2 %", "0.013 %"."""
    percent = 100 * confidence
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def _paste_strip(
    sheet: Image.Image,
    top: int,
    photo: np.ndarray,
    row: dict[int, Hypothesis],
    intrinsics: Tensor,
    tile: int,
) -> None:
    window, to_tile = _window(photo, list(row.values()), tile)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    draw.text((_GAP, top + 3), "photo", _INK, font)
    sheet.paste(Image.fromarray(window), (_GAP, top + _CAPTION))
    camera = to_tile @ intrinsics
    for column, (rank, hypothesis) in enumerate(row.items(), start=1):
        left = _GAP + column * (tile + _GAP)
        joints = hypothesis.hand.joints_2d @ to_tile[:2, :2].T + to_tile[:2, 2]
        # near the tile, so that a wild hypothesis cannot stall the drawing
        hand = replace(hypothesis.hand, joints_2d=joints.clamp(-_FAR, _FAR))
        draw.text((left, top + 3), f"{rank}: {confidence_text(hypothesis.confidence)}", _INK, font)
        over = Image.fromarray(draw_hands(window, [hand], camera))
        sheet.paste(over, (left, top + _CAPTION))
        sheet.paste(Image.fromarray(side_view([hand], tile)), (left, top + _CAPTION + tile + _GAP))


def _window(
    photo: np.ndarray, row: list[Hypothesis], tile: int
) -> tuple[UInt8[np.ndarray, "tile tile 3"], Float[Tensor, "3 3"]]:
    """The part of the photo around all hypotheses' joints, and the map from its px to the tile's.

    Where other hypotheses are far away, only the most confident one counts: the window is at most
    twice as wide as it needs.
    """
    boxes = np.stack([_box(hypothesis.hand, photo) for hypothesis in row])
    first = boxes[0]
    reach = np.maximum(first[2:] - first[:2], 1).max() / 2
    low = np.maximum(boxes[:, :2].min(0), first[:2] - reach)
    high = np.minimum(boxes[:, 2:].max(0), first[2:] + reach)
    left, top, side = squares_around(np.concatenate([low, high])[None], _CONTEXT)[0].tolist()
    scale = tile / side
    to_tile = torch.tensor([[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1]])
    return cut_square(photo, left, top, side, tile), to_tile


def _box(hand: DrawnHand, photo: np.ndarray) -> Float[np.ndarray, "4"]:
    """Of the joints, cut at the photo's border: no hypothesis makes the window huge."""
    joints = hand.joints_2d.double().numpy().clip(0, [photo.shape[1], photo.shape[0]])
    return np.concatenate([joints.min(0), joints.max(0)])
