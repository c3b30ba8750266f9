"""Hands before and after a tokenizer, and how often each of its codes is used."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hand_pipeline.viz.curves import COLOURS
from hand_pipeline.viz.hands import PREDICTED, TRUE, over

_COLUMNS = ("before", "after", "after over before")
_GAP, _HEADER, _CAPTION = 6, 24, 18
_INK = (40, 44, 52)
_DISTANCE, _MARGIN = 6.0, 1.1  # camera in hand radii from the hand; free space around it


def before_and_after(
    vertices: Float[Tensor, "hands vertices 3"],
    rebuilt: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    size: int = 160,
    hands_a_row: int = 2,
) -> Image.Image:
    """Each hand as it was, as its tokens give it, and both in one picture.

    Args:
        vertices: metres, turned as they are to be seen; only places relative to the wrist count.
        rebuilt: the same hands after the tokens.
        faces: triangles of the mesh.
        captions: one a hand.
        size: side of each picture, pixels.
        hands_a_row: hands side by side.

    Raises:
        ValueError: no hands, or captions of another number.
    """
    if len(vertices) == 0 or len(captions) != len(vertices):
        raise ValueError(f"expected a caption for each of {len(vertices)} hands, at least one")
    centre = (vertices.amax(1, keepdim=True) + vertices.amin(1, keepdim=True)) / 2
    radius = (vertices - centre).norm(dim=-1).amax(1)
    away = torch.zeros_like(centre)
    away[:, 0, 2] = radius * _DISTANCE
    focal = size / 2 * (_DISTANCE - 1) / _MARGIN
    camera = vertices.new_tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    cameras = camera.expand(len(vertices), 3, 3)
    paper = vertices.new_ones(len(vertices), 3, size, size)
    before = over(paper, vertices - centre + away, faces, cameras, TRUE)
    after = over(paper, rebuilt - centre + away, faces, cameras, PREDICTED)
    pictures = torch.stack([before, after, (before + after) / 2], dim=1)
    return _sheet(pictures, captions, hands_a_row)


def _sheet(
    pictures: Float[Tensor, "hands columns 3 size size"], captions: Sequence[str], a_row: int
) -> Image.Image:
    pixels = (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 1, 3, 4, 2)
    hands, columns, size = pixels.shape[:3]
    width, height = columns * (size + _GAP) + _GAP, size + _CAPTION + _GAP
    rows = -(-hands // a_row)
    sheet = Image.new("RGB", (a_row * width, _HEADER + rows * height), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    heading, small = ImageFont.load_default(13), ImageFont.load_default(11)
    for hand, tiles in enumerate(pixels.cpu().numpy()):
        left, top = hand % a_row * width, _HEADER + hand // a_row * height
        for column, tile in enumerate(tiles):
            x = left + _GAP + column * (size + _GAP)
            sheet.paste(Image.fromarray(tile), (x, top))
            if hand < a_row:
                draw.text((x + size / 2, _HEADER / 2), _COLUMNS[column], _INK, heading, "mm")
        draw.text((left + _GAP, top + size + 2), captions[hand], _INK, small)
    return sheet


def code_use(uses: Int[np.ndarray, " codes"]) -> Figure:
    """Share of the tokens that each code has, most used first, beside an even use of all.

    Raises:
        ValueError: no code is used.
    """
    if not uses.sum():
        raise ValueError("expected the uses of codes, got none")
    share = np.sort(uses)[::-1] / uses.sum()
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(np.arange(len(share)), share * 100, step="mid", color=COLOURS[2])
    axes.axhline(100 / len(share), color=COLOURS[0], linewidth=1, label="all used alike")
    used = np.count_nonzero(uses)
    axes.set(xlabel="code, most used first", ylabel="share of the tokens, %")
    axes.set(xlim=(0, len(share)), title=f"{used} of {len(share)} codes are used")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
