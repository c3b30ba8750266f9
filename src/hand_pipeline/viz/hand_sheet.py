"""Many hands on one page, each with a caption: generated hands, alphabets."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hand_pipeline.viz.hands import over

_GAP, _CAPTION = 4, 16
_INK = (40, 44, 52)
_DISTANCE = 6.0  # of the camera, in radii of the largest hand: far, so that it hardly distorts
_MARGIN = 1.05
_AT_ONCE = 64  # hands drawn together

Colour = tuple[float, float, float]


def hand_sheet(
    vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    colours: Sequence[Colour],
    columns: int,
    size: int = 128,
) -> Image.Image:
    """Hands row by row, all at one scale, seen along +z (the camera frame).

    Args:
        vertices: metres; each hand is shown about its own middle.
        faces: triangles of the mesh.
        captions: one a hand.
        colours: one a hand, RGB from 0 to 1.
        columns: hands a row.
        size: side of each picture, px.

    Raises:
        ValueError: no hands, or captions or colours of another number.
    """
    if not len(vertices) or not len(vertices) == len(captions) == len(colours):
        raise ValueError(
            f"expected a caption and a colour for each of {len(vertices)} hands, at least one; got "
            f"{len(captions)} and {len(colours)}"
        )
    centre = (vertices.amax(1, keepdim=True) + vertices.amin(1, keepdim=True)) / 2
    radius = (vertices - centre).abs().amax()
    away = vertices.new_tensor([0.0, 0.0, 1.0]) * radius * _DISTANCE
    focal = size / 2 * (_DISTANCE - 1) / _MARGIN
    camera = vertices.new_tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    placed = vertices - centre + away
    rows = -(-len(vertices) // columns)
    step_x, step_y = size + _GAP, size + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for start in range(0, len(placed), _AT_ONCE):
        part = placed[start : start + _AT_ONCE]
        for row, tile in enumerate(_tiles(part, faces, camera, colours[start:], size)):
            place = start + row
            left, top = place % columns * step_x + _GAP, place // columns * step_y + _GAP
            sheet.paste(tile, (left, top))
            draw.text((left + size / 2, top + size + 1), captions[place], _INK, font, anchor="mt")
    return sheet


def _tiles(
    vertices: Tensor, faces: Tensor, camera: Tensor, colours: Sequence[Colour], size: int
) -> list[Image.Image]:
    pictures = vertices.new_ones(len(vertices), 3, size, size)
    for colour in sorted(set(colours[: len(vertices)])):
        rows = [row for row in range(len(vertices)) if colours[row] == colour]
        cameras = camera.expand(len(rows), 3, 3)
        pictures[rows] = over(pictures[rows], vertices[rows], faces, cameras, colour)
    pixels = (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return [Image.fromarray(tile) for tile in pixels.cpu().numpy()]
