"""Any model's hand brought onto the 2D joints that a detector saw, at prediction time.

S2HAND's test-time refinement (Chen et al. 2021) is such, and SMPLify started from a network (SPIN,
Kolotouros et al. 2019); here the network's pose stays the prior and its shape is kept.
"""

from dataclasses import replace

import torch
from torch import Tensor

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.hand_fit import (
    REFINEMENT,
    HandFitConfig,
    HandStart,
    Landmarks,
    fit_hands,
)
from hand_pipeline.geometry.mano import ManoHand


def refine_hands(
    found: HandHypotheses, batch: HandBatch, mano: ManoHand, cfg: HandFitConfig = REFINEMENT
) -> HandHypotheses:
    """Refine the surest hypothesis of each hand to its keypoints; the others stay.

    Args:
        found: what a model predicted from `batch`.
        batch: with the keypoints that a detector saw.
        mano: the model's hand model.
        cfg: how far the hand may leave what was predicted.

    Raises:
        ValueError: the batch has no keypoints.
    """
    if batch.keypoints is None:
        raise ValueError("hands are refined to a detector's joints, but the batch has no keypoints")
    start = HandStart(found.mano_pose[:, 0], found.betas, found.joints_3d[:, 0])
    fit = fit_hands(mano, Landmarks(*batch.keypoints), batch.intrinsics, cfg, start)

    def first(hands: Tensor, refined: Tensor) -> Tensor:
        return torch.cat([refined.to(hands)[:, None], hands[:, 1:]], dim=1)

    return replace(
        found,
        joints_2d=first(found.joints_2d, project(fit.joints, found.intrinsics)),
        joints_3d=first(found.joints_3d, fit.joints),
        vertices=first(found.vertices, fit.vertices),
        mano_pose=first(found.mano_pose, fit.mano_pose),
    )
