"""Whole synthetic photos with a hand or two somewhere in them, for trying out the collect stage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.data.synthetic.background import (
    list_photos,
    made_up_background,
    photo_background,
)
from hand_pipeline.data.synthetic.look import compose, develop, random_light, random_skin
from hand_pipeline.data.synthetic.scene import Placement, Turns, place
from hand_pipeline.data.synthetic.workers import Block, blocks, painter
from hand_pipeline.data.synthetic.write import encode_jpeg
from hand_pipeline.files import atomic_write_bytes, atomic_write_text
from hand_pipeline.processes import run_blocks

PHOTOS = "photos"
LABELS = "labels.json"


class PhotosConfig(Config):
    """Synthetic photos. All defaults are our choice."""

    count: int = Field(600, ge=1)
    width: int = Field(640, ge=64, le=4096)
    height: int = Field(480, ge=64, le=4096)
    seed: int = Field(0, ge=0)
    jpeg_quality: int = Field(92, ge=30, le=100)
    supersampling: int = Field(2, ge=1, le=4)
    left_probability: float = Field(0.4, ge=0, le=1, description="share of left hands")
    two_hands_probability: float = Field(0.2, ge=0, le=1, description="share of photos with two")
    occluder_probability: float = Field(0.2, ge=0, le=1)
    background_photos: Path | None = None
    fill_min: float = Field(0.25, gt=0.05, le=0.9, description="joints' box, of the shorter side")
    fill_max: float = Field(0.7, gt=0.05, le=0.9)
    mano_model: Path | None = None


def generate_photos(config: PhotosConfig, out_dir: Path | str, workers: int = 2) -> Path:
    """Draw photos into `out_dir`/photos, and where their hands are into `out_dir`/labels.json.

    Goes on where an earlier call with the same arguments stopped. The label file holds one entry a
    photo: its name and, for each hand, side, box (x0, y0, x1, y1) of the joints and the 21 joints
    in OpenPose order, pixels.

    Returns:
        The folder of photos.

    Raises:
        FileNotFoundError: the backgrounds' folder is missing or empty.
        FileExistsError: `out_dir` holds photos of other settings.
    """
    out_dir = Path(out_dir)
    photos = None if config.background_photos is None else list_photos(config.background_photos)
    note, settings = out_dir / "synthetic.json", config.model_dump(mode="json", exclude={"count"})
    if note.exists() and json.loads(note.read_text()) != settings:
        raise FileExistsError(
            f"{out_dir} holds synthetic photos of other settings. Give another folder, or delete it"
        )
    atomic_write_text(note, json.dumps(settings, indent=1) + "\n")
    painter(config.mano_model)
    tasks = [((config, out_dir, photos, block), block.last - block.first)
             for block in blocks(config.count)]  # fmt: skip
    found: dict[int, list[dict[str, Any]]] = {}
    for arguments, labels in run_blocks(draw_photos, tasks, workers, "synthetic photos"):
        found[arguments[3].first] = labels
    entries = [entry for first in sorted(found) for entry in found[first]]
    atomic_write_text(out_dir / LABELS, json.dumps(entries))
    return out_dir / PHOTOS


def draw_photos(
    config: PhotosConfig, out_dir: Path, backgrounds: list[Path] | None, block: Block
) -> list[dict[str, Any]]:
    """Draw the photos of a block that are not there yet; label them all."""
    entries = []
    for index in range(*block):
        path = out_dir / PHOTOS / f"{index:06d}.jpg"
        hands = _hands(config, index)
        if not path.exists():
            atomic_write_bytes(path, _draw(config, backgrounds, index, hands))
        entries.append({"file": path.name, "hands": [_label(config, *hand) for hand in hands]})
    return entries


def _hands(config: PhotosConfig, index: int) -> list[tuple[str, Placement]]:
    """Sides and placements; a left hand is placed as the right hand it mirrors."""
    rng = np.random.default_rng([config.seed, 2, index, 0])
    two = bool(rng.random() < config.two_hands_probability)
    hand_painter = painter(config.mano_model)
    first_left = bool(rng.random() < config.left_probability)
    sides = [first_left, not first_left] if two else [first_left]
    posing = [np.random.default_rng([config.seed, 2, index, 1, n]) for n in range(len(sides))]
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
) -> bytes:  # fmt: skip
    rng = np.random.default_rng([config.seed, 2, index, 2])
    size = (config.height, config.width)
    light, skin = random_light(rng), random_skin(rng)
    layers = []
    for side, placement in hands:
        occluded = bool(rng.random() < config.occluder_probability)
        layer, _ = painter(config.mano_model).draw(
            placement, rng, size, config.supersampling, occluded, light, skin
        )
        layers.append(layer[:, ::-1] if side == "left" else layer)
    background = (
        photo_background(rng, backgrounds, size) if backgrounds else made_up_background(rng, size)
    )
    return encode_jpeg(develop(compose(background, layers, rng), layers, rng), config.jpeg_quality)


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
