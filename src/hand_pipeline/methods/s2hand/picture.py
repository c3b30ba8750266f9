"""Reconstructed hands with their colours: over the photo, from the side, and without light."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.methods.s2hand.heads import LIGHT
from hand_pipeline.methods.s2hand.renderer import HandRenderer
from hand_pipeline.methods.s2hand.s2hand import TexturedHands
from hand_pipeline.viz.hands import SIDE_TURN, as_bytes, camera_at, resized, side_views

TILES = ("photo", "over the photo", "from the side", "texture, no light")
"""What is shown of a hand, from left to right."""

_GAP, _BETWEEN, _HEADER, _CAPTION = 4, 20, 22, 18
_PAPER, _INK = (255, 255, 255), (40, 44, 52)
_NO_LIGHT = {"ambient": 1.0, "ambient_r": 1.0, "ambient_g": 1.0, "ambient_b": 1.0}


@torch.inference_mode()
def textured_sheet(
    photos: HandBatch,
    found: TexturedHands,
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str] = (),
    columns: int = 2,
    size: int = 144,
) -> Image.Image:
    """One picture of many hands, each a strip of `TILES` under their headings.

    The side view turns the hand, and the lamp with it, by 90 degrees about the vertical through the
    hand's middle. The texture is the reflectance as it was learnt, drawn by the photo's camera.

    Args:
        photos: square uint8 images and their cameras.
        found: the hands of `photos`, on the same device.
        faces: triangles, outward.
        captions: under each strip, for example its error.
        columns: hands a row.
        size: side of each tile, px.

    Raises:
        ValueError: there are no hands, or captions of another number.
    """
    if not len(photos):
        raise ValueError("expected at least one hand to draw, got none")
    if captions and len(captions) != len(photos):
        raise ValueError(f"expected {len(photos)} captions, got {len(captions)}")
    vertices, colours, light = found.vertices[:, 0], found.colours, found.light
    camera = camera_at(size, photos.intrinsics, photos.images)
    plain = resized(photos.images, size).to(vertices.device)
    paper = torch.ones_like(plain)
    renderer = HandRenderer(faces).to(vertices.device)
    square = (size, size)
    (turned,), side_camera = side_views([vertices], size)
    turned_light = light.clone()
    turned_light[:, -3:] = light[:, -3:] @ light.new_tensor(SIDE_TURN).mT
    unlit = light.new_tensor([_NO_LIGHT.get(name, 0.0) for name in LIGHT]).expand_as(light)
    tiles = [
        plain,
        renderer(vertices, colours, light, camera, square).over(plain),
        renderer(turned, colours, turned_light, side_camera, square).over(paper),
        renderer(vertices, colours, unlit, camera, square).over(paper),
    ]
    return _pasted(tiles, list(captions), min(columns, len(photos)), size)


def _pasted(
    tiles: Sequence[Float[Tensor, "hands 3 size size"]],
    captions: Sequence[str],
    columns: int,
    size: int,
) -> Image.Image:
    """Strips row by row, under the headings of every column of them."""
    count = len(tiles[0])
    rows = -(-count // columns)
    strip = len(tiles) * (size + _GAP) - _GAP
    row_height = size + _GAP + (_CAPTION if captions else 0)
    width = columns * (strip + _BETWEEN) - _BETWEEN + 2 * _GAP
    sheet = Image.new("RGB", (width, _HEADER + rows * row_height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    heading, small = ImageFont.load_default(13), ImageFont.load_default(11)

    def left(column: int, tile: int = 0) -> int:
        return _GAP + column * (strip + _BETWEEN) + tile * (size + _GAP)

    for tile, pictures in enumerate(tiles):
        for column in range(columns):
            middle = left(column, tile) + size / 2
            draw.text((middle, _HEADER / 2), TILES[tile], _INK, heading, anchor="mm")
        for hand, picture in enumerate(as_bytes(pictures)):
            row, column = divmod(hand, columns)
            place = (left(column, tile), _HEADER + row * row_height)
            sheet.paste(Image.fromarray(picture), place)
    for hand, caption in enumerate(captions):
        row, column = divmod(hand, columns)
        draw.text((left(column), _HEADER + row * row_height + size + 2), caption, _INK, small)
    return sheet
