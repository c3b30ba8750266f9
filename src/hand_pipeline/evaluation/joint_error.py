"""Distances between predicted and true points after one of the usual alignments, in millimetres.

What the papers call these (see docs/conventions.md): MPJPE and MPVPE are means of the raw
distances; the prefix RR (root-relative) moves both hands' wrists to the origin first; PA aligns by
a similarity transform (Procrustes); HandMIM's and HO-3D's "MP" is the scale-and-translation
alignment here called ST, not the raw error.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.procrustes import procrustes_align, scale_translation_align

MM_PER_METRE = 1000.0
Alignment = Literal["none", "root", "scale_translation", "procrustes"]


def distances_mm(
    points: Float[Tensor, "samples points 3"], truth: Float[Tensor, "samples points 3"]
) -> Float[Tensor, "samples points"]:
    """Euclidean distance of corresponding points: metres in, millimetres out."""
    return (points - truth).norm(dim=-1) * MM_PER_METRE


def joint_errors_mm(
    joints: Float[Tensor, "samples 21 3"],
    truth: Float[Tensor, "samples 21 3"],
    alignment: Alignment,
    root: int = 0,
    allow_reflection: bool = True,
) -> Float[Tensor, "samples 21"]:
    """Joint errors in mm after `alignment`.

    Args:
        joints: predicted, metres, OpenPose order.
        truth: labelled, metres, same order.
        alignment: "none"; "root" (both roots to the origin); "scale_translation" (HO-3D: length of
            the wrist to middle-knuckle bone, then wrist on wrist); "procrustes".
        root: joint of the root alignment; the wrist unless told otherwise.
        allow_reflection: whether Procrustes may mirror the hand. The official FreiHAND and HO-3D
            programs let it; False is the strict variant.
    """
    match alignment:
        case "none":
            return distances_mm(joints, truth)
        case "root":
            return distances_mm(joints - joints[:, [root]], truth - truth[:, [root]])
        case "scale_translation":
            return distances_mm(scale_translation_align(joints, truth), truth)
        case "procrustes":
            return distances_mm(procrustes_align(joints, truth, allow_reflection), truth)


def vertex_errors_mm(
    vertices: Float[Tensor, "samples vertices 3"],
    truth: Float[Tensor, "samples vertices 3"],
    alignment: Literal["none", "procrustes"],
    allow_reflection: bool = True,
) -> Float[Tensor, "samples vertices"]:
    """Vertex errors in mm after `alignment`, which is the vertices' own, as in FreiHAND.

    For root-relative errors subtract each hand's own root joint first and pass "none".
    """
    if alignment == "procrustes":
        vertices = procrustes_align(vertices, truth, allow_reflection)
    return distances_mm(vertices, truth)
