"""Whole synthetic photos with a hand or two somewhere in them, for trying out the collect stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from hand_pipeline.data.synthetic.camera import Placement, photograph, place
from hand_pipeline.data.synthetic.config import PhotosConfig, Turns
from hand_pipeline.data.synthetic.scene import Extras, painter
from hand_pipeline.data.synthetic.skin import random_skin
from hand_pipeline.data.synthetic.surroundings import random_background, random_surroundings
from hand_pipeline.data.synthetic.write import PHOTOS, Block, Drawing, draw_all, generator
from hand_pipeline.files import atomic_write_text

LABELS = "labels.json"


def generate_photos(config: PhotosConfig, out_dir: Path | str, workers: int = 2) -> Path:
    """Draw photos into `out_dir`/photos, and where their hands are into `out_dir`/labels.json.

    The label file holds one entry a photo: its name and, for each hand, side, box (x0, y0, x1, y1)
    of the joints and the 21 joints in OpenPose order, pixels.

    Args:
        config: what to draw.
        out_dir: goes on with what an earlier call left there.
        workers: processes that draw; the photos do not depend on it.

    Returns:
        The folder of photos.

    Raises:
        as `write.draw_all`.
    """
    out_dir = Path(out_dir)
    counts = {PHOTOS: config.count}
    found = draw_all(draw_photos, config, out_dir, counts, workers, "synthetic photos")
    entries = [entry for entries in found[PHOTOS] for entry in entries]
    atomic_write_text(out_dir / LABELS, json.dumps(entries))
    return out_dir / PHOTOS


def draw_photos(drawing: Drawing[PhotosConfig], block: Block) -> list[dict[str, Any]]:
    """Draw the photos of a block that are not there yet; label them all."""
    config, entries = drawing.config, []
    for index in range(*block):
        path, hands = drawing.image(index), _hands(config, index)
        if not path.exists():
            drawing.save(path, _draw(config, drawing.backgrounds, index, hands))
        entries.append({"file": path.name, "hands": [_label(config, *hand) for hand in hands]})
    return entries


def _hands(config: PhotosConfig, index: int) -> list[tuple[str, Placement]]:
    """Sides and placements; a left hand is placed as the right hand it mirrors."""
    rng = generator(config, PHOTOS, index, 0)
    two = bool(rng.random() < config.two_hands_probability)
    hand_painter = painter(config.mano_model)
    first_left = bool(rng.random() < config.left_probability)
    sides = [first_left, not first_left] if two else [first_left]
    posing = [generator(config, PHOTOS, index, 1, n) for n in range(len(sides))]
    _, orientations, vertices, joints = hand_painter.pose(posing, 0.9, 2.5, Turns())
    hands = []
    part = config.width / len(sides)
    focal = config.width * rng.uniform(0.9, 1.6)
    for n, left in enumerate(sides):
        fill = rng.uniform(config.fill_min, config.fill_max) * min(part / config.height, 1.0)
        room = (float(config.height), float(part))
        placed = place(rng, vertices[n], joints[n], orientations[n], room, focal, fill)
        # the hand's part of the photo; a left one is drawn in the mirror image
        position = len(sides) - 1 - n if left else n
        centre = (part / 2 + position * part, config.height / 2)
        shift = np.array([(centre[0] - config.width / 2) / focal, 0.0, 0.0])
        moved = placed.vertices + shift * placed.joints[:, 2].mean()
        moved_joints = placed.joints + shift * placed.joints[:, 2].mean()
        middle = (config.width / 2, config.height / 2)
        hands.append(
            ("left" if left else "right",
             Placement(placed.orientation, moved, moved_joints, focal, middle))
        )  # fmt: skip
    return hands


def _draw(
    config: PhotosConfig, backgrounds: list[Path] | None, index: int,
    hands: list[tuple[str, Placement]],
) -> UInt8[ndarray, "h w 3"]:  # fmt: skip
    rng = generator(config, PHOTOS, index, 2)
    size = (config.height, config.width)
    around, skin = random_surroundings(rng, config.environments), random_skin(rng)
    layers = []
    for side, placement in hands:
        extras = Extras(bool(rng.random() < config.occluder_probability), False)
        # a left hand is the mirror image of a right one in mirrored light
        light = around.light.mirrored() if side == "left" else around.light
        layer, _ = painter(config.mano_model).draw(
            placement, rng, size, config.supersampling, extras, light, skin
        )
        depth = float(placement.joints[:, 2].mean())
        layers.append((depth, layer[:, ::-1] if side == "left" else layer))
    far_first = [layer for _, layer in sorted(layers, key=lambda pair: -pair[0])]
    background = random_background(rng, around, backgrounds, size)
    return photograph(background, far_first, rng, around.light, config.wear)


def _label(config: PhotosConfig, side: str, placement: Placement) -> dict[str, Any]:
    projected = placement.joints @ placement.intrinsics.T
    pixels = projected[:, :2] / projected[:, 2:]
    if side == "left":
        pixels[:, 0] = config.width - pixels[:, 0]
    box = [*pixels.min(0), *pixels.max(0)]
    return {
        "side": side,
        "box": [round(float(v), 2) for v in box],
        "joints": np.round(pixels, 2).tolist(),
    }
