"""Labelled synthetic hands in FreiHAND's layout, one an image."""

import time
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from numpy import ndarray

from hand_pipeline.data.readers.freihand import FreiHandLabels, labels_of, write_labels
from hand_pipeline.data.synthetic.camera import Placement, cut_off, photograph, place
from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.data.synthetic.scene import Extras, painter
from hand_pipeline.data.synthetic.surroundings import random_background, random_surroundings
from hand_pipeline.data.synthetic.write import BLOCK, Block, Drawing, draw_all, generator
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

Split = Literal["training", "evaluation"]
SPLITS: tuple[Split, ...] = ("training", "evaluation")


class BlockLabels(NamedTuple):
    """Labels of a block of hands, and how many of its images were drawn now."""

    labels: FreiHandLabels
    drawn: int


def generate(config: SyntheticConfig, out_dir: Path | str, workers: int = 2) -> dict[str, Any]:
    """Draw both splits into `out_dir`, as FreiHAND lays its files out.

    `training/rgb`, `training/mask` (JPEG; white where MANO's mesh, without the forearm, is seen),
    `evaluation/rgb`, and the label files beside.

    Args:
        config: what to draw.
        out_dir: goes on with what an earlier call left there.
        workers: processes that draw; the images do not depend on it.

    Returns:
        Numbers of images per split, how many were drawn now and found finished, seconds, and
        images a second (drawn ones).

    Raises:
        as `write.draw_all`.
    """
    began = time.monotonic()
    counts = {"training": config.num_training, "evaluation": config.num_evaluation}
    found = draw_all(draw_block, config, Path(out_dir), counts, workers, "synthetic hands")
    for split in SPLITS:
        if parts := found[split]:
            write_labels(Path(out_dir), split, _joined([part.labels for part in parts]))
    drawn = sum(part.drawn for parts in found.values() for part in parts)
    seconds = time.monotonic() - began
    return {
        **counts,
        "drawn": drawn,
        "kept": sum(counts.values()) - drawn,
        "seconds": round(seconds, 1),
        "images_per_second": round(drawn / seconds, 1),
    }


def draw_block(drawing: Drawing[SyntheticConfig], block: Block) -> BlockLabels:
    """Draw the images of a block that are not there yet, and compute all its labels."""
    config, split = drawing.config, drawing.split
    placements, labels = pose_block(config, split, block)
    drawn = 0
    for index, placement in zip(range(*block), placements):
        rgb, mask = drawing.image(index), drawing.image(index, "mask")
        if rgb.exists() and (split != "training" or mask.exists()):
            continue
        image, visible = draw_hand(config, drawing.backgrounds, split, index, placement)
        if split == "training":
            drawing.save(mask, (visible * 255 + 0.5).astype(np.uint8))
        drawing.save(rgb, image)
        drawn += 1
    return BlockLabels(labels, drawn)


def pose_block(
    config: SyntheticConfig, split: str, block: Block
) -> tuple[list[Placement], FreiHandLabels]:
    """Where the hands of a block stand, and their labels."""
    hand_painter = painter(config.mano_model)
    whole = range(block.first, block.first + BLOCK)
    generators = [generator(config, split, index, 0) for index in whole]
    hands, orientations, vertices, joints = hand_painter.pose(
        generators, config.beta_std, config.beta_limit, config.turns, config.real_poses
    )
    size = float(config.image_size)
    placements = []
    for row, index in enumerate(range(*block)):
        rng = generator(config, split, index, 1)
        focal = size * np.exp(rng.uniform(np.log(config.focal_min), np.log(config.focal_max)))
        fill = rng.uniform(config.fill_min, config.fill_max)
        placed = place(
            rng, vertices[row], joints[row], orientations[row], (size, size), focal, fill
        )
        placements.append(cut_off(rng, placed) if rng.random() < config.cut_off else placed)
    count = len(placements)
    pose = np.concatenate([orientations[:count, None], np.zeros((count, 15, 3, 3))], 1)
    pose[:, 1:] = axis_angle_to_matrix(torch.from_numpy(hands.fingers[:count])).numpy()
    return placements, _labels(config, placements, pose, hands.betas[:count])


def _labels(
    config: SyntheticConfig, placements: list[Placement], pose: ndarray, betas: ndarray
) -> FreiHandLabels:
    vertices, joints, intrinsics = (
        torch.from_numpy(np.stack([getattr(placement, name) for placement in placements])).float()
        for name in ("vertices", "joints", "intrinsics")
    )
    return labels_of(
        torch.from_numpy(pose).float(), torch.from_numpy(betas).float(), vertices, joints,
        intrinsics, painter(config.mano_model).mano,
    )  # fmt: skip


def draw_hand(
    config: SyntheticConfig,
    photos: list[Path] | None,
    split: str,
    index: int,
    placement: Placement,
) -> tuple[UInt8[ndarray, "h w 3"], Float32[ndarray, "h w"]]:
    """One image, and the share of each pixel in which the hand is seen."""
    rng = generator(config, split, index, 2)
    size = (config.image_size, config.image_size)
    around = random_surroundings(rng, config.environments)
    extras = Extras(
        bool(rng.random() < config.occluder_probability), bool(rng.random() < config.jewellery)
    )
    layer, visible = painter(config.mano_model).draw(
        placement, rng, size, config.supersampling, extras, around.light
    )
    background = random_background(rng, around, photos, size)
    image = photograph(background, [layer], rng, around.light, config.wear)
    return image, np.minimum(visible, 1)


def _joined(parts: list[FreiHandLabels]) -> FreiHandLabels:
    names = ("K", "mano", "scale", "verts", "xyz")
    return FreiHandLabels(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )
