"""Every number of a hand benchmark from predicted and true joints and vertices."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from hand_pipeline.evaluation.curves import THRESHOLDS_MM, ErrorTally
from hand_pipeline.evaluation.joint_error import (
    MM_PER_METRE,
    MeshErrors,
    joint_errors,
    mesh_errors,
)
from hand_pipeline.evaluation.surface_distance import f_scores
from hand_pipeline.geometry.procrustes import fit_similarity

CHUNK = 512  # hands held in double precision at once: keeps the peak memory near 100 MB

ROOT = 0  # the wrist, which root-relative errors are relative to
CURVES: Mapping[str, str] = MappingProxyType(
    {
        "joints": "mpjpe",
        "pa_joints": "pa_mpjpe",
        "vertices": "mpvpe",
        "pa_vertices": "pa_mpvpe",
    }
)
"""Name of each curve and of the error it counts."""

# the official programs' own grid; THRESHOLDS_MM / 1000 differs from it in the last bit
_THRESHOLDS = np.linspace(0.0, 0.05, 100)


class HandEvaluation(NamedTuple):
    """The outcome of an evaluation.

    Attributes:
        summary: one number a metric; names that end in `_mm` are millimetres, in `_px` pixels, the
            rest is in 0..1.
        per_sample: one row a hand with its id, its mean errors (mm) and F-scores.
        curves: `threshold_mm`, and the share of points within it for each of `CURVES`.
    """

    summary: dict[str, float]
    per_sample: pd.DataFrame
    curves: pd.DataFrame


def evaluate_hands(
    pred_joints: Float[np.ndarray, "samples 21 3"],
    pred_vertices: Float[np.ndarray, "samples vertices 3"],
    gt_joints: Float[np.ndarray, "samples 21 3"],
    gt_vertices: Float[np.ndarray, "samples true_vertices 3"],
    ids: Sequence[str] | None = None,
    allow_reflection: bool = True,
    curves: Mapping[str, str] = CURVES,
) -> HandEvaluation:
    """Score predicted hands as the official FreiHAND and HO-3D programs do, and root-relative.

    Computed in double precision, some hands at a time. `pa_*_no_reflection_mm` are the Procrustes
    errors when the alignment may not mirror the hand: where they differ from `pa_*`, predictions
    were mirrored.

    A mesh with another number of vertices than the truth's has no vertex errors (their columns are
    left out); its F-scores are those of the official programs, see `_align_other_mesh`.

    Args:
        pred_joints: camera frame, metres, OpenPose order.
        pred_vertices: camera frame, metres.
        gt_joints: as `pred_joints`.
        gt_vertices: as `pred_vertices`.
        ids: names of the samples for the table and for messages; None numbers them.
        allow_reflection: whether `pa_*`, `auc_pa_*`, `f5`, `f15` may mirror (official: yes).
        curves: name of each curve and `auc_*`, and of the error it counts.

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
    check_finite(hands, names)
    tallies: dict[str, ErrorTally] = {}
    f_raw, f_aligned = [], []
    for joints, vertices, true_joints, true_vertices in _in_chunks(list(hands.values())):
        errors = joint_errors(joints, true_joints, ROOT, allow_reflection)
        if vertices.shape == true_vertices.shape:
            mesh = mesh_errors(
                vertices, true_vertices, joints[:, ROOT], true_joints[:, ROOT], allow_reflection
            )
        else:
            mesh = _align_other_mesh(vertices, joints, true_joints, allow_reflection)
        for key, values in (errors | mesh.errors).items():
            tallies.setdefault(key, ErrorTally(_THRESHOLDS)).add(values)
        f_raw.append(f_scores(vertices, true_vertices))
        f_aligned.append(f_scores(mesh.aligned, true_vertices))
    raw, aligned = np.concatenate(f_raw), np.concatenate(f_aligned)
    scores = {
        "f5": aligned[:, 0],
        "f15": aligned[:, 1],
        "f5_raw": raw[:, 0],
        "f15_raw": raw[:, 1],
    }
    return _tables(names, tallies, scores, curves)


def evaluate_joints(
    pred_joints: Float[np.ndarray, "samples 21 3"],
    gt_joints: Float[np.ndarray, "samples 21 3"],
    pred_joints_2d: Float[np.ndarray, "samples 21 2"],
    gt_joints_2d: Float[np.ndarray, "samples 21 2"],
    ids: Sequence[str] | None = None,
    allow_reflection: bool = True,
) -> HandEvaluation:
    """Score predicted joints of a model that makes no mesh, as HandMIM's linear probe (table 4).

    The joints' part of `evaluate_hands`: unaligned (`mpjpe_mm`; the paper prints centimetres),
    root-relative (`rr_mpjpe_mm`), aligned (`pa_mpjpe_mm`, `st_mpjpe_mm`), and `joints_2d_px`, the
    mean distance in the picture.

    Args:
        pred_joints: camera frame, metres, OpenPose order.
        gt_joints: as `pred_joints`.
        pred_joints_2d: pixels of the network's input.
        gt_joints_2d: as `pred_joints_2d`.
        ids: names of the samples; None numbers them.
        allow_reflection: as in `evaluate_hands`.

    Raises:
        ValueError: no samples, ids of another number, or values that are not finite (with ids).
    """
    names = list(ids) if ids is not None else [str(i) for i in range(len(pred_joints))]
    hands = {
        "predicted joints": pred_joints,
        "true joints": gt_joints,
        "predicted 2D joints": pred_joints_2d,
        "true 2D joints": gt_joints_2d,
    }
    check_finite(hands, names)
    tallies: dict[str, ErrorTally] = {}
    in_picture = []
    for joints, truth, joints_2d, truth_2d in _in_chunks(list(hands.values())):
        for key, values in joint_errors(joints, truth, ROOT, allow_reflection).items():
            tallies.setdefault(key, ErrorTally(_THRESHOLDS)).add(values)
        in_picture.append(np.linalg.norm(joints_2d - truth_2d, axis=-1).mean(axis=1))
    return _tables(names, tallies, {"joints_2d_px": np.concatenate(in_picture)}, CURVES)


class NotFiniteError(ValueError):
    """Predictions or labels that hold NaN or infinity."""


def check_finite(hands: Mapping[str, np.ndarray], names: Sequence[str]) -> None:
    """Refuse arrays that are not of one row a name, or not finite.

    Raises:
        ValueError: with the samples' names; `NotFiniteError` where it is that.
    """
    for label, values in hands.items():
        if len(values) != len(names) or not names:
            raise ValueError(
                f"expected {label} for {len(names)} samples, at least one, got {len(values)}"
            )
        bad = np.flatnonzero(~np.isfinite(values).all(axis=tuple(range(1, values.ndim))))
        if bad.size:
            shown = ", ".join(names[i] for i in bad[:10]) + (", ..." if bad.size > 10 else "")
            raise NotFiniteError(
                f"{label} of {bad.size} of {len(names)} samples are not finite: {shown}; "
                "a score cannot leave them out, so find out why the model or the labels are broken"
            )


def _in_chunks(arrays: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(arrays[0]), CHUNK):
        yield [np.ascontiguousarray(a[start : start + CHUNK], dtype=np.float64) for a in arrays]


def _align_other_mesh(
    vertices: np.ndarray, joints: np.ndarray, true_joints: np.ndarray, allow_reflection: bool
) -> MeshErrors:
    """Meshes that do not correspond to the truth's, moved by the transform of the joints.

    As the official programs do it, which is no similarity of the hand: the mesh is turned about its
    own mean and multiplied by the *normalised* joints' scale and the truth's Frobenius norm (about
    0.3 m), without dividing by the prediction's. So it shrinks, and aligned F-scores say little.
    """
    source, target = torch.from_numpy(joints), torch.from_numpy(true_joints)
    similarity = fit_similarity(source, target, allow_reflection)
    source_mean, target_mean = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    source_norm = (source - source_mean).norm(dim=(1, 2)) + 1e-8
    mesh = torch.from_numpy(vertices)
    mesh_mean = mesh.mean(1, keepdim=True)
    turned = (mesh - mesh_mean) @ similarity.rotation.mT
    scaled = turned * (similarity.scale * source_norm)[:, None, None]
    return MeshErrors({}, (scaled + target_mean - source_mean + mesh_mean).numpy())


def _tables(
    names: list[str],
    tallies: Mapping[str, ErrorTally],
    scores: Mapping[str, np.ndarray],
    curves: Mapping[str, str],
) -> HandEvaluation:
    per_sample = pd.DataFrame({"id": names})
    for key, tally in tallies.items():
        per_sample[f"{key}_mm"] = tally.means * MM_PER_METRE
    for key, values in scores.items():
        per_sample[key] = values
    summary = {key: float(per_sample[key].mean()) for key in per_sample.columns if key != "id"}
    table = pd.DataFrame({"threshold_mm": THRESHOLDS_MM})
    for curve, key in curves.items():
        if key in tallies:
            table[curve] = tallies[key].shares
            summary[f"auc_{curve}"] = tallies[key].area
    summary["num_samples"] = float(len(names))
    return HandEvaluation(summary, per_sample, table)
