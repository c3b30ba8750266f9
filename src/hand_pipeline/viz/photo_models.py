"""Photos, and beside each its hands as several models see them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from hand_pipeline.data.photos.cropping import cut_square, squares_around
from hand_pipeline.viz.overlay import DrawnHand, Placed, draw_hands, drawn
from hand_pipeline.viz.sheet import Layout, sheet

_AROUND = 1.6  # side of the part that is shown, in longer sides of the box around all hands
_LAYOUT = Layout(columns=2, between=18, header=24, caption=18)


class SeenPhoto(NamedTuple):
    """A photo and what models see in it.

    Attributes:
        photo: RGB.
        camera: the photo's.
        boxes: around the hands, px.
        hands: by model.
        caption: below it.
    """

    photo: UInt8[np.ndarray, "height width 3"]
    camera: Float[Tensor, "3 3"]
    boxes: Sequence[Float[np.ndarray, "4"]]
    hands: Mapping[str, Sequence[Placed]]
    caption: str


def photo_models(
    photos: Sequence[SeenPhoto], headings: Mapping[str, str], tile: int = 160
) -> Image.Image:
    """Of each photo the part with its hands, and the same part with each model's meshes over it.

    Args:
        photos: at least one.
        headings: of the columns, by the models to be shown.
        tile: side of an image, px.
    """
    strips = [_strip(seen, list(headings), tile) for seen in photos]
    captions = [seen.caption for seen in photos]
    return sheet(strips, captions, _LAYOUT, ["photo", *headings.values()])


def _strip(seen: SeenPhoto, models: Sequence[str], tile: int) -> list[Image.Image]:
    boxes = np.stack(seen.boxes)
    box = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    left, top, side = squares_around(box[None], _AROUND)[0].tolist()
    part = cut_square(seen.photo, left, top, side, tile)
    zoom = tile / side
    cut = torch.tensor([[zoom, 0, -zoom * left], [0, zoom, -zoom * top], [0, 0, 1]])
    meshes: list[list[DrawnHand]] = [[], *(drawn(seen.hands[name]) for name in models)]
    views = [draw_hands(part, hands, cut @ seen.camera, skeleton=False) for hands in meshes]
    return [Image.fromarray(view) for view in views]
