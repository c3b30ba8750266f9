"""How a model fares when most of the hand is black.

MaskHand (arXiv 2412.13393) claims robustness to occlusion and shows pictures of hands of which 80 %
and 90 % are hidden, without figures. Ours: errors after alignment of all joints and of the hidden
ones, and the share of hidden joints that the reprojected hand puts near their true place (PCK, as
HInt's occluded joints are counted).
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.occlusion import OccludedHands, OcclusionConfig, occlude, tight_boxes
from hand_pipeline.evaluation.curves import pck_by_joint
from hand_pipeline.evaluation.joint_error import MM_PER_METRE, joint_errors, mesh_errors
from hand_pipeline.evaluation.predict import Predict, check_labelled
from hand_pipeline.geometry.camera import project

PCK_THRESHOLDS = (0.05, 0.1, 0.15)
"""Shares of the longer side of the hand's box: HInt's."""


class OcclusionScores(NamedTuple):
    """The outcome.

    Attributes:
        summary: means over the hands (mm), of joints over all hidden and all seen joints; PCK of
            both as the mean over the 21 joints (0 to 1). What no joint counts for is left out.
        per_sample: one row a hand: id, errors in mm, number of hidden joints.
    """

    summary: dict[str, float]
    per_sample: pd.DataFrame


def occluded_batches(
    batches: Iterable[HandBatch], cfg: OcclusionConfig, keep_keypoints: bool = False
) -> Iterator[OccludedHands]:
    """Hands with cells of their box painted black; which depends on their number in the set.

    Args:
        batches: the whole set in its order.
        cfg: how much.
        keep_keypoints: whether a model may know the 2D keypoints of joints that are not hidden; the
            others get confidence 0. Otherwise it gets none: a detector that has seen the whole
            picture would tell what is hidden now.
    """
    first = 0
    for batch in batches:
        painted, hidden = occlude(batch, range(first, first + len(batch)), cfg)
        known = None
        if keep_keypoints and painted.keypoints is not None:
            confidence = painted.keypoints.confidence * ~hidden
            known = painted.keypoints._replace(confidence=confidence)
        yield OccludedHands(replace(painted, keypoints=known), hidden)
        first += len(batch)


def score_occluded(
    predict: Predict,
    batches: Iterable[OccludedHands],
    device: torch.device | str = "cpu",
    allow_reflection: bool = True,
) -> OcclusionScores:
    """Predict occluded hands and compare them with what is behind the black.

    Args:
        predict: of a model in eval mode on `device`.
        batches: of `occluded_batches`; every hand fully labelled.
        device: where the batches are moved.
        allow_reflection: whether the alignment may mirror (the official programs: yes).

    Raises:
        ValueError: there are no batches, or a hand without a complete label.
    """
    names: list[str] = []
    rows: list[tuple[np.ndarray, ...]] = []
    with torch.inference_mode():
        for batch, hidden in batches:
            check_labelled(batch)
            found = predict(batch.to(device))
            joints, vertices = (
                value[:, 0].float().cpu() for value in (found.joints_3d, found.vertices)
            )
            names += batch.ids
            rows.append(_errors(joints, vertices, batch, hidden, allow_reflection))
    if not names:
        raise ValueError("no batches to predict: the evaluation set is empty")
    return _tables(names, *(np.concatenate(column) for column in zip(*rows)))


def _errors(
    joints: Float[Tensor, "batch 21 3"],
    vertices: Float[Tensor, "batch 778 3"],
    batch: HandBatch,
    hidden: Bool[Tensor, "batch 21"],
    allow_reflection: bool,
) -> tuple[np.ndarray, ...]:
    """PA errors of joints (mm) and meshes (mm), 2D errors as shares of the box, hidden joints."""
    arrays = [joints, vertices, batch.joints_3d, batch.vertices]
    ours, mesh, truth, true_mesh = (values.double().numpy() for values in arrays)
    pa_joints = joint_errors(ours, truth, 0, allow_reflection)["pa_mpjpe"] * MM_PER_METRE
    errors = mesh_errors(mesh, true_mesh, ours[:, 0], truth[:, 0], allow_reflection).errors
    pa_mesh = errors["pa_mpvpe"].mean(axis=1) * MM_PER_METRE
    pixels = project(joints, batch.intrinsics) - project(batch.joints_3d, batch.intrinsics)
    boxes = tight_boxes(batch)
    side = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    shares = (pixels.norm(dim=-1) / side).double().numpy()
    return pa_joints, pa_mesh, shares, hidden.numpy()


def _tables(
    names: list[str],
    pa_joints: Float[np.ndarray, "hands 21"],
    pa_mesh: Float[np.ndarray, " hands"],
    shares: Float[np.ndarray, "hands 21"],
    hidden: Bool[np.ndarray, "hands 21"],
) -> OcclusionScores:
    per_sample = pd.DataFrame(
        {
            "id": names,
            "pa_mpjpe_mm": pa_joints.mean(axis=1),
            "pa_mpvpe_mm": pa_mesh,
            "hidden_joints": hidden.sum(axis=1),
        }
    )
    summary = {
        "pa_mpjpe_mm": float(pa_joints.mean()),
        "pa_mpvpe_mm": float(pa_mesh.mean()),
        "hidden_share": float(hidden.mean()),
        "num_samples": float(len(names)),
    }
    for name, counted in (("hidden", hidden), ("seen", ~hidden)):
        if not counted.any():
            continue
        summary[f"{name}_pa_mpjpe_mm"] = float(pa_joints[counted].mean())
        for threshold in PCK_THRESHOLDS:
            by_joint = pck_by_joint(shares, np.full(len(shares), threshold), counted)
            summary[f"{name}_pck_{threshold}"] = float(np.nanmean(by_joint))
    return OcclusionScores(summary, per_sample)
