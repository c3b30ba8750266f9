"""Distances between predicted and true points after each of the usual alignments.

What the papers call these (see docs/conventions.md): MPJPE and MPVPE are means of the raw
distances; the prefix RR (root-relative) moves both hands' wrists to the origin first; PA aligns by
a similarity transform (Procrustes); HandMIM's and HO-3D's "MP" is the scale-and-translation
alignment here called ST, not the raw error.

Distances are in the unit of the points: the official programs differ in theirs (FreiHAND and HO-3D
metres, DexYCB millimetres), and the alignment's epsilon and the thresholds' ties are in that unit.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from hand_pipeline.geometry.procrustes import align_both_ways, scale_translation_align

MM_PER_METRE = 1000.0


class MeshErrors(NamedTuple):
    """Errors of each vertex by name, and the meshes after the Procrustes alignment."""

    errors: dict[str, Float[np.ndarray, "samples vertices"]]
    aligned: Float[np.ndarray, "samples vertices 3"]


def distances(
    points: Float[np.ndarray, "samples points 3"], truth: Float[np.ndarray, "samples points 3"]
) -> Float[np.ndarray, "samples points"]:
    """Euclidean distance of corresponding points, rounded as in the official programs."""
    difference: np.ndarray = truth - points
    found: np.ndarray = np.sqrt(np.square(difference).sum(axis=-1))
    return found


def joint_errors(
    joints: Float[np.ndarray, "samples 21 3"],
    truth: Float[np.ndarray, "samples 21 3"],
    root: int = 0,
    allow_reflection: bool = True,
) -> dict[str, Float[np.ndarray, "samples 21"]]:
    """Errors of each joint, in the joints' unit, by the alignment before them.

    Args:
        joints: predicted, OpenPose order.
        truth: labelled, same order.
        root: joint of the root alignment; the wrist unless told otherwise.
        allow_reflection: whether `pa_mpjpe` may mirror the hand. The official programs let it;
            `pa_mpjpe_no_reflection` never does.

    Returns:
        `mpjpe` (raw), `rr_mpjpe` (both roots at the origin), `st_mpjpe` (HO-3D's scale and
        translation), `pa_mpjpe` and `pa_mpjpe_no_reflection` (Procrustes).
    """
    moved = scale_translation_align(torch.from_numpy(joints), torch.from_numpy(truth)).numpy()
    official, strict = _both(joints, truth)
    official_errors, strict_errors = _distances_of_both(official, strict, truth)
    return {
        "mpjpe": distances(joints, truth),
        "rr_mpjpe": distances(joints - joints[:, [root]], truth - truth[:, [root]]),
        "st_mpjpe": distances(moved, truth),
        "pa_mpjpe": official_errors if allow_reflection else strict_errors,
        "pa_mpjpe_no_reflection": strict_errors,
    }


def mesh_errors(
    vertices: Float[np.ndarray, "samples vertices 3"],
    truth: Float[np.ndarray, "samples vertices 3"],
    roots: Float[np.ndarray, "samples 3"],
    true_roots: Float[np.ndarray, "samples 3"],
    allow_reflection: bool = True,
) -> MeshErrors:
    """As `joint_errors`, of vertices; aligned by themselves, not by the joints, as in FreiHAND.

    Args:
        vertices: predicted.
        truth: labelled.
        roots: joint that the predicted vertices are relative to in `rr_mpvpe`.
        true_roots: the same of the labelled ones.
        allow_reflection: see `joint_errors`.
    """
    official, strict = _both(vertices, truth)
    official_errors, strict_errors = _distances_of_both(official, strict, truth)
    errors = {
        "mpvpe": distances(vertices, truth),
        "rr_mpvpe": distances(vertices - roots[:, None], truth - true_roots[:, None]),
        "pa_mpvpe": official_errors if allow_reflection else strict_errors,
        "pa_mpvpe_no_reflection": strict_errors,
    }
    return MeshErrors(errors, official if allow_reflection else strict)


def _both(points: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    official, strict = align_both_ways(torch.from_numpy(points), torch.from_numpy(truth))
    return official.numpy(), strict.numpy()


def _distances_of_both(
    official: np.ndarray, strict: np.ndarray, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    found = distances(official, truth)
    # no mirrored hand among them: one array seen twice
    same = np.shares_memory(official, strict)
    return found, found if same else distances(strict, truth)
