"""Left or right, where the detector is unsure: reconstruct both, and keep the better fit.

A left hand's landmarks, mirrored, are a right hand's; unmirrored they are none that joints allow,
so a model of right hands misses them, in 2D or in depth.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.photos.detector import Detection, Side
from hand_pipeline.geometry.camera import unproject

_OTHER: dict[Side, Side] = {"left": "right", "right": "left"}


class Tried(NamedTuple):
    """Hands to reconstruct.

    Attributes:
        hands: those found, then the unsure ones of them as their other side.
        of: place among those found of each of the further ones.
    """

    hands: list[Detection]
    of: list[int]

    def better(self, found: HandHypotheses, batch: HandBatch) -> list[int]:
        """Which of the hands tried stands for each hand found, by their misfits.

        Args:
            found: what a model made of `hands`.
            batch: what it was given.
        """
        return better_sides(self, misfits(found, batch))


def both_sides(hands: Sequence[Detection], below: float) -> Tried:
    """The hands, and those whose side is less sure than `below` once more, as the other one."""
    unsure = [number for number, hand in enumerate(hands) if hand.score < below]
    others = [
        replace(hand, handedness=_OTHER[hand.handedness], score=1 - hand.score)
        for hand in (hands[number] for number in unsure)
    ]
    return Tried([*hands, *others], unsure)


def better_sides(tried: Tried, misfits: Float[Tensor, " tried"]) -> list[int]:
    """Which of the hands tried stands for each hand found.

    Args:
        tried: by `both_sides`.
        misfits: of what was reconstructed of them.
    """
    found = len(tried.hands) - len(tried.of)
    chosen = list(range(found))
    for place, number in enumerate(tried.of, start=found):
        if misfits[place] < misfits[number]:
            chosen[number] = place
    return chosen


def misfits(found: HandHypotheses, batch: HandBatch) -> Float[Tensor, " batch"]:
    """How far the surest hands lie from the detector's joints, in sizes of the hand.

    Mean distance in 2D, and in 3D where the detector gives that, about their centres and freed of
    their sizes, each weighted by the joint's confidence.

    Raises:
        ValueError: the batch has no keypoints.
    """
    if batch.keypoints is None:
        raise ValueError("fits are compared at a detector's joints, but the batch has no keypoints")
    points, confidence, deep = batch.keypoints
    depth = torch.ones_like(confidence)
    flat = _distance(
        unproject(found.joints_2d[:, 0], depth, found.intrinsics)[..., :2],
        unproject(points, depth, batch.intrinsics)[..., :2],
        confidence,
    )
    if deep is None:
        return flat
    here, there = _unit(found.joints_3d[:, 0]), _unit(deep)
    return flat + _distance(here, there, confidence) * (deep != 0).flatten(1).any(1)


def _distance(
    here: Float[Tensor, "batch 21 axes"],
    there: Float[Tensor, "batch 21 axes"],
    confidence: Float[Tensor, "batch 21"],
) -> Float[Tensor, " batch"]:
    size = (there - there.mean(1, keepdim=True)).norm(dim=-1).mean(1).clamp(min=1e-6)
    away = (here - there).norm(dim=-1) * confidence
    return away.sum(1) / confidence.sum(1).clamp(min=1e-6) / size


def _unit(points: Float[Tensor, "batch 21 3"]) -> Float[Tensor, "batch 21 3"]:
    centred = points - points.mean(1, keepdim=True)
    return centred / centred.norm(dim=-1).mean(1)[:, None, None].clamp(min=1e-6)
