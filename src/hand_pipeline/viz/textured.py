"""Reconstructed hands with their colours: the photo, the hand over it, the hand alone."""

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from hand_pipeline.models.hand_renderer import HandRenderer

_GAP = 4


@torch.inference_mode()
def textured_sheet(
    photos: UInt8[Tensor, "hands 3 height width"],
    vertices: Float[Tensor, "hands vertices 3"],
    colours: Float[Tensor, "hands vertices 3"],
    light: Float[Tensor, "hands 11"],
    intrinsics: Float[Tensor, "hands 3 3"],
    faces: Int[Tensor, "faces 3"],
    columns: int = 3,
) -> Image.Image:
    """One picture of many hands, each three tiles wide, drawn at the photos' own size.

    Args:
        photos: RGB.
        vertices: camera frame, metres.
        colours: RGB reflectance of the vertices.
        light: what falls on them (`models.s2hand_heads.LIGHT`).
        intrinsics: camera of `photos`.
        faces: triangles, outward.
        columns: hands a row.

    Raises:
        ValueError: there are no hands.
    """
    if not len(photos):
        raise ValueError("expected at least one hand to draw, got none")
    height, width = photos.shape[-2:]
    renderer = HandRenderer(faces).to(vertices.device)
    drawn = renderer(vertices, colours, light, intrinsics, (height, width))
    plain = photos.to(vertices.device).float() / 255
    alone = drawn.over(torch.ones_like(plain))
    strips = torch.cat([plain, drawn.over(plain), alone], dim=3).clamp(0, 1)
    tiles = (strips * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    step_x, step_y = 3 * width + _GAP, height + _GAP
    sheet = Image.new("RGB", (columns * step_x + _GAP, rows * step_y + _GAP), "white")
    for place, tile in enumerate(tiles):
        corner = (place % columns * step_x + _GAP, place // columns * step_y + _GAP)
        sheet.paste(Image.fromarray(tile), corner)
    return sheet
