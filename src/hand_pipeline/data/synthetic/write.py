"""Labelled synthetic hands in FreiHAND's layout: every picture a function of seed and index alone.

Interrupted, the same call goes on where it stopped: pictures are written whole or not at all, and a
finished one is never drawn again. Labels are cheap and always computed anew.
"""

import io
import json
import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray
from PIL import Image
from pydantic import Field, model_validator

from hand_pipeline.config import Config
from hand_pipeline.data.readers.freihand import FreiHandLabels, mano_numbers, write_labels
from hand_pipeline.data.synthetic.background import (
    list_photos,
    made_up_background,
    photo_background,
)
from hand_pipeline.data.synthetic.look import compose, develop
from hand_pipeline.data.synthetic.scene import Placement, Turns, place
from hand_pipeline.data.synthetic.workers import BLOCK, Block, blocks, painter
from hand_pipeline.files import atomic_write_bytes, atomic_write_text
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.processes import run_blocks

LOOK = 1  # to be raised when the same seed gives other pictures
Split = Literal["training", "evaluation"]
_STREAM = {"training": 0, "evaluation": 1}


class SyntheticConfig(Config):
    """A set of synthetic hands. All defaults are our choice, near FreiHAND's pictures.

    Attributes are described by their fields; lengths of pictures in pixels.
    """

    num_training: int = Field(2000, ge=0, description="labelled training pictures")
    num_evaluation: int = Field(400, ge=0, description="labelled evaluation pictures")
    image_size: int = Field(224, ge=32, le=1024, description="side of the pictures; FreiHAND: 224")
    seed: int = Field(0, ge=0, description="other seeds give other hands")
    jpeg_quality: int = Field(92, ge=30, le=100)
    supersampling: int = Field(2, ge=1, le=4, description="drawn this many times larger")
    occluder_probability: float = Field(
        0.3, ge=0, le=1, description="share of hands that hold something or are partly hidden"
    )
    background_photos: Path | None = Field(
        None, description="folder of photos to put behind the hands; none: made-up backgrounds"
    )
    fill_min: float = Field(0.45, gt=0.1, le=0.9, description="joints' box, of the picture")
    fill_max: float = Field(0.85, gt=0.1, le=0.9)
    focal_min: float = Field(1.4, gt=0.5, description="focal length, in sides of the picture")
    focal_max: float = Field(3.2, gt=0.5)
    beta_std: float = Field(0.9, ge=0, description="spread of the shape coefficients")
    beta_limit: float = Field(2.5, ge=0, description="largest shape coefficient")
    turns: Turns = Field(Turns(), description="how hands stand before the camera")
    mano_model: Path | None = Field(None, description="converted MANO file; none: the open hand")

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "SyntheticConfig":
        if self.fill_min > self.fill_max or self.focal_min > self.focal_max:
            raise ValueError("fill_min must not exceed fill_max, nor focal_min focal_max")
        return self


class BlockLabels(NamedTuple):
    """Labels of a block of hands, and how many of its pictures were drawn now."""

    labels: FreiHandLabels
    drawn: int


def generate(config: SyntheticConfig, out_dir: Path | str, workers: int = 2) -> dict[str, Any]:
    """Draw both splits into `out_dir`, as FreiHAND lays its files out.

    `training/rgb`, `training/mask` (JPEG; white where MANO's mesh, without the forearm, is seen),
    `evaluation/rgb`, and the label files beside.

    Args:
        workers: processes that draw; the pictures do not depend on it.

    Returns:
        Numbers of pictures per split, how many were drawn now and found finished, seconds, and
        pictures a second (drawn ones).

    Raises:
        FileNotFoundError: the backgrounds' folder or the MANO file is missing or empty.
        FileExistsError: `out_dir` holds pictures of other settings, or more than asked for.
        DiskFullError: the disk is full; finished pictures stay.
    """
    out_dir = Path(out_dir)
    began = time.monotonic()
    photos = None if config.background_photos is None else list_photos(config.background_photos)
    counts: dict[Split, int] = {
        "training": config.num_training,
        "evaluation": config.num_evaluation,
    }
    _claim(config, out_dir, counts)
    painter(config.mano_model)  # a wrong model file ends here, not in a worker
    tasks = [
        ((config, out_dir, photos, split, block), block.last - block.first)
        for split, count in counts.items()
        for block in blocks(count)
    ]
    found: dict[Split, dict[int, BlockLabels]] = {"training": {}, "evaluation": {}}
    for arguments, labels in run_blocks(draw_block, tasks, workers, "synthetic hands"):
        found[arguments[3]][arguments[4].first] = labels
    for split, parts in found.items():
        if parts:
            write_labels(out_dir, split, _joined([parts[first].labels for first in sorted(parts)]))
    drawn = sum(part.drawn for parts in found.values() for part in parts.values())
    seconds = time.monotonic() - began
    return {
        "training": config.num_training,
        "evaluation": config.num_evaluation,
        "drawn": drawn,
        "kept": sum(counts.values()) - drawn,
        "seconds": round(seconds, 1),
        "images_per_second": round(drawn / seconds, 1),
    }


def contact_sheet(out_dir: Path | str, split: Split = "training", columns: int = 8, rows: int = 3,
                  side: int = 160) -> Image.Image:  # fmt: skip
    """The first pictures of a split in one.

    Raises:
        FileNotFoundError: the split has no picture.
    """
    paths = sorted((Path(out_dir) / split / "rgb").glob("*.jpg"))[: columns * rows]
    if not paths:
        raise FileNotFoundError(f"no pictures in {Path(out_dir) / split / 'rgb'}: draw some first")
    sheet = Image.new("RGB", (columns * side, -(-len(paths) // columns) * side), "white")
    for index, path in enumerate(paths):
        with Image.open(path) as picture:
            tile = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
        sheet.paste(tile, (index % columns * side, index // columns * side))
    return sheet


def draw_block(
    config: SyntheticConfig, out_dir: Path, photos: list[Path] | None, split: Split, block: Block
) -> BlockLabels:
    """Draw the pictures of a block that are not there yet, and compute all its labels."""
    placements, labels = pose_block(config, split, block)
    drawn = 0
    for index, placement in zip(range(*block), placements):
        rgb = out_dir / split / "rgb" / f"{index:08d}.jpg"
        mask = out_dir / split / "mask" / f"{index:08d}.jpg"
        wanted = [rgb, mask] if split == "training" else [rgb]
        if all(path.exists() for path in wanted):
            continue
        picture, visible = draw_hand(config, photos, split, index, placement)
        if split == "training":
            grey = (visible * 255 + 0.5).astype(np.uint8)
            atomic_write_bytes(mask, encode_jpeg(grey, config.jpeg_quality))
        atomic_write_bytes(rgb, encode_jpeg(picture, config.jpeg_quality))
        drawn += 1
    return BlockLabels(labels, drawn)


def pose_block(
    config: SyntheticConfig, split: Split, block: Block
) -> tuple[list[Placement], FreiHandLabels]:
    """Where the hands of a block stand, and their labels."""
    hand_painter = painter(config.mano_model)
    whole = range(block.first, block.first + BLOCK)
    generators = [_generator(config, split, index, 0) for index in whole]
    hands, orientations, vertices, joints = hand_painter.pose(
        generators, config.beta_std, config.beta_limit, config.turns
    )
    size = float(config.image_size)
    placements = []
    for row, index in enumerate(range(*block)):
        rng = _generator(config, split, index, 1)
        focal = size * np.exp(rng.uniform(np.log(config.focal_min), np.log(config.focal_max)))
        fill = rng.uniform(config.fill_min, config.fill_max)
        placements.append(
            place(rng, vertices[row], joints[row], orientations[row], (size, size), focal, fill)
        )
    count = len(placements)
    pose = np.concatenate([orientations[:count, None], np.zeros((count, 15, 3, 3))], 1)
    pose[:, 1:] = axis_angle_to_matrix(torch.from_numpy(hands.fingers[:count])).numpy()
    return placements, _labels(config, placements, pose, hands.betas[:count])


def _labels(
    config: SyntheticConfig, placements: list[Placement], pose: ndarray, betas: ndarray
) -> FreiHandLabels:
    def stacked(rows: list[ndarray]) -> Float32[ndarray, "..."]:
        return np.stack(rows).astype(np.float32)

    intrinsics = stacked([placement.intrinsics for placement in placements])
    joints = stacked([placement.joints for placement in placements])
    numbers = mano_numbers(
        torch.from_numpy(pose).float(), torch.from_numpy(betas).float(), torch.from_numpy(joints),
        torch.from_numpy(intrinsics), painter(config.mano_model).mano,
    )  # fmt: skip
    return FreiHandLabels(
        K=intrinsics,
        mano=numbers.astype(np.float32),
        scale=np.linalg.norm(joints[:, 9] - joints[:, 10], axis=1),
        verts=stacked([placement.vertices for placement in placements]),
        xyz=joints,
    )


def draw_hand(
    config: SyntheticConfig,
    photos: list[Path] | None,
    split: Split,
    index: int,
    placement: Placement,
) -> tuple[UInt8[ndarray, "h w 3"], Float32[ndarray, "h w"]]:
    """One picture, and the share of each pixel in which the hand is seen."""
    rng = _generator(config, split, index, 2)
    size = (config.image_size, config.image_size)
    occluded = bool(rng.random() < config.occluder_probability)
    layer, visible = painter(config.mano_model).draw(
        placement, rng, size, config.supersampling, occluded
    )
    background = photo_background(rng, photos, size) if photos else made_up_background(rng, size)
    return develop(compose(background, [layer], rng), [layer], rng), np.minimum(visible, 1)


def encode_jpeg(pixels: UInt8[ndarray, "..."], quality: int) -> bytes:
    """A picture as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _generator(
    config: SyntheticConfig, split: Split, index: int, stream: int
) -> np.random.Generator:
    return np.random.default_rng([config.seed, _STREAM[split], index, stream])


def _joined(parts: list[FreiHandLabels]) -> FreiHandLabels:
    names = ("K", "mano", "scale", "verts", "xyz")
    return FreiHandLabels(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def _claim(config: SyntheticConfig, out_dir: Path, counts: dict[Split, int]) -> None:
    """Note in the folder what its pictures are of; refuse a folder of others."""
    settings = config.model_dump(mode="json", exclude={"num_training", "num_evaluation"})
    settings["look"] = LOOK
    note = out_dir / "synthetic.json"
    if note.exists():
        earlier = json.loads(note.read_text())
        changed = {k: (earlier.get(k), v) for k, v in settings.items() if earlier.get(k) != v}
        if changed:
            listed = ", ".join(
                f"{name} {old!r}, now {new!r}" for name, (old, new) in changed.items()
            )
            raise FileExistsError(
                f"{out_dir} holds synthetic hands of other settings ({listed}). Give another "
                "folder, or delete this one"
            )
    elif any((out_dir / split).exists() for split in counts):
        raise FileExistsError(
            f"{out_dir} holds a data set that was not made here. Give another folder"
        )
    for split, count in counts.items():
        surplus = out_dir / split / "rgb" / f"{count:08d}.jpg"
        if surplus.exists():
            raise FileExistsError(
                f"{out_dir} holds more than the {count} {split} pictures asked for ({surplus} is "
                "there). Ask for at least as many, give another folder, or delete this one"
            )
    atomic_write_text(note, json.dumps(settings, indent=1) + "\n")
