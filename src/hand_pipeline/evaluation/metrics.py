"""Every number of a hand benchmark from predicted and true joints and vertices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.evaluation.curves import THRESHOLDS_MM, area_under_curve, pck
from hand_pipeline.evaluation.f_score import f_scores
from hand_pipeline.evaluation.joint_error import Alignment, distances_mm, joint_errors_mm
from hand_pipeline.geometry.procrustes import procrustes_align

CHUNK = 512  # hands aligned at once: keeps the peak memory near 100 MB

CURVES = {
    "joints": "mpjpe",
    "pa_joints": "pa_mpjpe",
    "vertices": "mpvpe",
    "pa_vertices": "pa_mpvpe",
}
"""Name of each curve and of the error it counts."""


class HandEvaluation(NamedTuple):
    """The outcome of an evaluation.

    Attributes:
        summary: one number a metric; names that end in `_mm` are millimetres, the rest is in 0..1.
        per_sample: one row a hand with its id, its mean errors (mm) and F-scores.
        curves: `threshold_mm`, and the share of points within it for each of `CURVES`.
    """

    summary: dict[str, float]
    per_sample: pd.DataFrame
    curves: pd.DataFrame


def evaluate_hands(
    pred_joints: Float[np.ndarray, "samples 21 3"],
    pred_vertices: Float[np.ndarray, "samples 778 3"],
    gt_joints: Float[np.ndarray, "samples 21 3"],
    gt_vertices: Float[np.ndarray, "samples 778 3"],
    ids: Sequence[str] | None = None,
    allow_reflection: bool = True,
    root: int = 0,
    workers: int | None = None,
) -> HandEvaluation:
    """Score predicted hands as the official FreiHAND and HO-3D programs do, and root-relative.

    Computed in double precision. `pa_*_no_reflection_mm` are the Procrustes errors when the
    alignment may not mirror the hand: where they differ from `pa_*`, predictions were mirrored.

    Args:
        pred_joints: camera frame, metres, OpenPose order.
        pred_vertices: camera frame, metres.
        gt_joints: as `pred_joints`.
        gt_vertices: as `pred_vertices`.
        ids: names of the samples for the table and for messages; None numbers them.
        allow_reflection: whether `pa_*`, `auc_pa_*`, `f5`, `f15` may mirror (official: yes).
        root: joint of the root-relative errors.
        workers: threads of the F-scores; None takes all cores.

    Raises:
        ValueError: no samples, ids of another number, or values that are not finite (with ids).
    """
    names = list(ids) if ids is not None else [str(i) for i in range(len(pred_joints))]
    hands = {
        "predicted joints": pred_joints,
        "predicted vertices": pred_vertices,
        "true joints": gt_joints,
        "true vertices": gt_vertices,
    }
    _check(hands, names)
    chunks = [
        _chunk_errors([_double(a[i : i + CHUNK]) for a in hands.values()], allow_reflection, root)
        for i in range(0, len(names), CHUNK)
    ]
    errors = {key: np.concatenate([chunk[key].numpy() for chunk in chunks]) for key in chunks[0]}
    aligned = errors.pop("aligned_vertices")
    truth = gt_vertices.astype(np.float64)
    f_raw = f_scores(pred_vertices.astype(np.float64), truth, workers=workers)
    f_aligned = f_scores(aligned, truth, workers=workers)
    scores = {
        "f5": f_aligned[:, 0],
        "f15": f_aligned[:, 1],
        "f5_raw": f_raw[:, 0],
        "f15_raw": f_raw[:, 1],
    }
    return _tables(names, errors, scores)


def _check(hands: dict[str, np.ndarray], names: list[str]) -> None:
    for label, values in hands.items():
        if len(values) != len(names) or not names:
            raise ValueError(
                f"expected {label} for {len(names)} samples, at least one, got {len(values)}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=(1, 2)))
        if bad.size:
            shown = ", ".join(names[i] for i in bad[:10]) + (", ..." if bad.size > 10 else "")
            raise ValueError(
                f"{label} of {bad.size} of {len(names)} samples are not finite: {shown}; "
                "a score cannot leave them out, so find out why the model or the labels are broken"
            )


def _double(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64))


def _chunk_errors(hands: list[Tensor], allow_reflection: bool, root: int) -> dict[str, Tensor]:
    """Errors of each point, mm, by name, and the aligned meshes; hands in `_check`'s order."""
    joints, vertices, true_joints, true_vertices = hands
    aligned = procrustes_align(vertices, true_vertices, allow_reflection)
    strict = procrustes_align(vertices, true_vertices, False)
    relative = vertices - joints[:, [root]]
    true_relative = true_vertices - true_joints[:, [root]]

    def of_joints(alignment: Alignment, reflection: bool = allow_reflection) -> Tensor:
        return joint_errors_mm(joints, true_joints, alignment, root, reflection)

    return {
        "mpjpe": of_joints("none"),
        "rr_mpjpe": of_joints("root"),
        "st_mpjpe": of_joints("scale_translation"),
        "pa_mpjpe": of_joints("procrustes"),
        "pa_mpjpe_no_reflection": of_joints("procrustes", False),
        "mpvpe": distances_mm(vertices, true_vertices),
        "rr_mpvpe": distances_mm(relative, true_relative),
        "pa_mpvpe": distances_mm(aligned, true_vertices),
        "pa_mpvpe_no_reflection": distances_mm(strict, true_vertices),
        "aligned_vertices": aligned,
    }


def _tables(
    names: list[str], errors: dict[str, np.ndarray], scores: dict[str, np.ndarray]
) -> HandEvaluation:
    per_sample = pd.DataFrame({"id": names})
    for key, values in errors.items():
        per_sample[f"{key}_mm"] = values.mean(axis=1)
    for key, values in scores.items():
        per_sample[key] = values
    summary = {key: float(per_sample[key].mean()) for key in per_sample.columns if key != "id"}
    curves = pd.DataFrame({"threshold_mm": THRESHOLDS_MM})
    for curve, key in CURVES.items():
        curves[curve] = pck(errors[key])
        summary[f"auc_{curve}"] = area_under_curve(curves[curve].to_numpy())
    summary["num_samples"] = float(len(names))
    return HandEvaluation(summary, per_sample, curves)
