"""Figure of reconstructed hands with colours: over the photo, from the side, without light."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from PIL import Image
from torch import Tensor

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.methods.s2hand.heads import LIGHT
from hand_pipeline.methods.s2hand.renderer import HandRenderer
from hand_pipeline.methods.s2hand.s2hand import TexturedHands
from hand_pipeline.viz.hands import SIDE_TURN, camera_at, resized, side_views
from hand_pipeline.viz.sheet import Layout, sheet, tiles

TILES = ("photo", "over the photo", "from the side", "texture, no light")
"""Tiles of a hand, from left to right."""

_LAYOUT = Layout(between=20, header=22, caption=18)
_COLUMNS = 2  # hands per row
_NO_LIGHT = {"ambient": 1.0, "ambient_r": 1.0, "ambient_g": 1.0, "ambient_b": 1.0}


@torch.inference_mode()
def textured_sheet(
    photos: HandBatch,
    found: HandHypotheses,
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str] = (),
    size: int = 144,
) -> Image.Image:
    """Many hands, each a strip of `TILES` under their headings.

    The side view rotates hand and lamp by 90 degrees about the vertical axis through the hand's
    middle. The texture is the predicted reflectance, rendered with the photo's camera.

    Args:
        photos: square uint8 images and their cameras.
        found: the hands of `photos`, on the same device.
        faces: triangles, outward.
        captions: text under each strip, for example its error.
        size: side of each tile, px.

    Raises:
        ValueError: there are no hands, or another number of captions.
        TypeError: the hands have no colours and light.
    """
    if not isinstance(found, TexturedHands):
        raise TypeError("expected hands with colours and light; predict without `only_hands`")
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
    columns = [
        plain,
        renderer(vertices, colours, light, camera, square).over(plain),
        renderer(turned, colours, turned_light, side_camera, square).over(paper),
        renderer(vertices, colours, unlit, camera, square).over(paper),
    ]
    strips = list(zip(*(tiles(column) for column in columns)))
    layout = _LAYOUT._replace(columns=min(_COLUMNS, len(photos)))
    return sheet(strips, captions, layout if captions else layout._replace(caption=0), TILES)
