"""Many small images on one: rows of strips, with headings above and captions below."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

INK = (40, 44, 52)


class Layout(NamedTuple):
    """Lengths of a sheet, px.

    Attributes:
        columns: strips side by side.
        gap: between the tiles of a strip, between rows, and at the left and right border.
        between: from strip to strip.
        header: above the first row, for headings if there are any.
        caption: room for the caption below each strip.
        drop: from a strip to its caption.
        foot: below the last row.
        centred: captions in the middle of their strip, or at its left end.
        ink: colour of the captions.
    """

    columns: int = 1
    gap: int = 4
    between: int = 4
    header: int = 4
    caption: int = 0
    drop: int = 2
    foot: int = 0
    centred: bool = False
    ink: tuple[int, int, int] = INK


def sheet(
    strips: Sequence[Sequence[Image.Image]],
    captions: Sequence[str],
    layout: Layout,
    headings: Sequence[str] = (),
) -> Image.Image:
    """Strips row by row on white.

    Args:
        strips: at least one, all of as many tiles, all tiles of one size.
        captions: one a strip, or none at all.
        layout: lengths.
        headings: one a tile of a strip, above the first row.
    """
    width, height = strips[0][0].size
    _, gap, between, header, caption, drop, foot, centred, ink = layout
    strip_width = len(strips[0]) * (width + gap) - gap
    row_height = height + gap + caption
    rows = -(-len(strips) // layout.columns)
    size = (layout.columns * (strip_width + between) - between + 2 * gap,
            header + rows * row_height + foot)  # fmt: skip
    made = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(made)
    large, small = ImageFont.load_default(13), ImageFont.load_default(11)
    for number, strip in enumerate(strips):
        row, column = divmod(number, layout.columns)
        left, top = gap + column * (strip_width + between), header + row * row_height
        for place, tile in enumerate(strip):
            tile_left = left + place * (width + gap)
            made.paste(tile, (tile_left, top))
            if headings and row == 0:
                draw.text(
                    (tile_left + width / 2, header / 2), headings[place], INK, large, anchor="mm"
                )
        if captions:
            x, anchor = (left + strip_width / 2, "mt") if centred else (left, "la")
            draw.text((x, top + height + drop), captions[number], ink, small, anchor=anchor)
    return made


def tiles(images: Float[Tensor, "images 3 height width"]) -> list[Image.Image]:
    """Images from 0 to 1, one by one as PIL has them."""
    pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [Image.fromarray(tile) for tile in pixels.cpu().numpy()]


def photo_sheet(folder: Path, columns: int = 8, rows: int = 3, side: int = 160) -> Image.Image:
    """The first JPEG files of a folder, edge to edge.

    Raises:
        FileNotFoundError: there is none.
    """
    files = sorted(folder.glob("*.jpg"))[: columns * rows]
    if not files:
        raise FileNotFoundError(f"no images in {folder}: draw some first")
    strips = []
    for file in files:
        with Image.open(file) as image:
            small = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        strips.append([small])
    return sheet(strips, [], Layout(columns, gap=0, between=0, header=0))


def stacked(images: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Images below one another on white, at their left edges.

    Raises:
        ValueError: there are none.
    """
    if not images:
        raise ValueError("expected at least one image to stack, got none")
    heights = [image.height + gap for image in images]
    made = Image.new("RGB", (max(image.width for image in images), sum(heights) - gap), "white")
    for image, top in zip(images, [sum(heights[:i]) for i in range(len(heights))]):
        made.paste(image, (0, top))
    return made
