"""Hands with most of their box painted black: the test of robustness to occlusion.

MaskHand (arXiv 2412.13393): "80 %" and "90 %" of the hand hidden.

Deviation: the paper shows images only. They have the hand's tight box cut into about 10 x 10
cells, most of them black; we paint that share of 100 cells, chosen at random.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.geometry.camera import project


class OcclusionConfig(Config):
    """How much of a hand is painted black."""

    share: float = Field(
        0.8, ge=0, le=1, description="of the box's cells that are black (MaskHand: 0.8 and 0.9)"
    )
    grid: int = Field(10, ge=1, description="cells along each side of the box (our reading)")
    seed: int = Field(0, ge=0, description="chooses the cells, together with the hand's index")


class OccludedHands(NamedTuple):
    """Hands that are partly black.

    Attributes:
        batch: the same hands, labels unchanged.
        hidden: labelled joints that lie in a black cell.
    """

    batch: HandBatch
    hidden: Bool[Tensor, "batch 21"]


def occlude(batch: HandBatch, indices: Sequence[int], cfg: OcclusionConfig) -> OccludedHands:
    """Paint cells of the box of each hand black.

    Args:
        batch: as loaded, not augmented.
        indices: number of each hand in its set. What is hidden of it depends on this and on
            `cfg.seed`, not on the batch it is in.
        cfg: how much.

    Raises:
        ValueError: images of floats, indices of another number, or a hand with no label that says
            where it is.
    """
    if batch.images.dtype != torch.uint8:
        raise ValueError(f"expected uint8 images as loaded, got {batch.images.dtype}")
    if len(indices) != len(batch):
        raise ValueError(f"expected {len(batch)} indices, one a hand, got {len(indices)}")
    cells = np.stack([black_cells(index, cfg) for index in indices])
    return _paint(batch, tight_boxes(batch), torch.from_numpy(cells).to(batch.images.device))


def black_out(
    batch: HandBatch, share: Float[Tensor, " batch"], grid: int = OcclusionConfig().grid
) -> HandBatch:
    """Paint random cells of each hand's box black, and hide the keypoints in them: for training.

    Args:
        batch: as loaded, not augmented. A hand without a label of its place, or outside its image,
            stays as it is.
        share: of each hand's cells, chosen by torch's global generator.
        grid: cells along each side of the box.
    """
    boxes, unlabelled, outside = _boxes(batch)
    rank = torch.rand(len(batch), grid**2, device=boxes.device).argsort(1).argsort(1)
    black = rank < (share * grid**2).round()[:, None]
    black = (black & ~(unlabelled | outside)[:, None]).unflatten(1, (grid, grid))
    painted = _paint(batch, boxes, black).batch
    if batch.keypoints is None:
        return painted
    points, confidence, _ = batch.keypoints
    seen = batch.keypoints._replace(confidence=confidence * ~_in_black(points, boxes, black))
    return replace(painted, keypoints=seen)


def _paint(
    batch: HandBatch, boxes: Float[Tensor, "batch 4"], black: Bool[Tensor, "batch grid grid"]
) -> OccludedHands:
    height, width = batch.images.shape[-2:]
    rows, columns = torch.meshgrid(
        torch.arange(height, device=boxes.device) + 0.5,
        torch.arange(width, device=boxes.device) + 0.5,
        indexing="ij",
    )
    centres = torch.stack([columns, rows], dim=-1).flatten(0, 1)
    painted = _in_black(centres.expand(len(batch), -1, -1), boxes, black)
    mask = painted.unflatten(1, (height, width))[:, None]
    images = batch.images.masked_fill(mask, 0)
    hidden = _in_black(batch.joints_2d, boxes, black) & batch.has_joints_2d
    return OccludedHands(replace(batch, images=images), hidden)


def black_cells(index: int, cfg: OcclusionConfig) -> Bool[np.ndarray, "grid grid"]:
    """Rows and columns of the cells of one hand that are black; a function of seed and index."""
    total = cfg.grid**2
    cells = np.zeros(total, dtype=bool)
    order = np.random.default_rng((cfg.seed, index)).permutation(total)
    cells[order[: round(cfg.share * total)]] = True
    return cells.reshape(cfg.grid, cfg.grid)


def tight_boxes(batch: HandBatch) -> Float[Tensor, "batch 4"]:
    """Left, top, right, bottom of each hand in its image, px.

    Of the mesh where it is labelled, else of the labelled joints, which leaves out some skin at
    the rim; cut at the image's border.

    Raises:
        ValueError: a hand has neither, or none of it is in the image.
    """
    boxes, unlabelled, outside = _boxes(batch)
    if unlabelled.any():
        raise ValueError(f"no label says where the hand of {_name(batch, unlabelled)} is")
    if outside.any():
        raise ValueError(f"the hand of {_name(batch, outside)} is outside its image")
    return boxes


def _boxes(batch: HandBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes; hands without a label of their place; those of which nothing is in the image."""
    unlabelled = ~(batch.has_vertices | batch.has_joints_2d.any(1))
    vertices = project(batch.vertices, batch.intrinsics)
    points = torch.cat([vertices, batch.joints_2d], dim=1)
    by_mesh = batch.has_vertices[:, None]
    joints_used = batch.has_joints_2d & ~by_mesh
    used = torch.cat([by_mesh.expand(vertices.shape[:2]), joints_used], dim=1)[..., None]
    height, width = batch.images.shape[-2:]
    size = points.new_tensor([width, height])
    low = torch.where(used, points, torch.inf).amin(1).clamp(min=0)
    high = torch.where(used, points, -torch.inf).amax(1).minimum(size)
    return torch.cat([low, high], dim=1), unlabelled, (low >= high).any(1)


def _in_black(
    points: Float[Tensor, "batch points 2"],
    boxes: Float[Tensor, "batch 4"],
    black: Bool[Tensor, "batch grid grid"],
) -> Bool[Tensor, "batch points"]:
    """Which points (px) are in a black cell; those on the box's border are inside it."""
    grid = black.shape[1]
    low, high = boxes[:, None, :2], boxes[:, None, 2:]
    place = (points - low) / (high - low)
    inside = ((place >= 0) & (place <= 1)).all(-1)
    column, row = (place * grid).long().clamp(0, grid - 1).unbind(-1)
    hand = torch.arange(len(points), device=points.device)[:, None]
    return black[hand, row, column] & inside


def _name(batch: HandBatch, which: Bool[Tensor, " batch"]) -> str:
    return batch.ids[int(which.int().argmax())]
