"""Hands that a model makes up: how varied they are, how often they run into themselves, and those
made for a text against real hands of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist, pdist
from torch import Tensor

from hand_pipeline.evaluation.joint_error import MM_PER_METRE, mesh_errors
from hand_pipeline.evaluation.surface_distance import surface_distances
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.self_intersection import self_intersecting_faces

_MEASURES = ("pa_mpvpe_mm", "chamfer_m2", "hausdorff_m")
_AT_ONCE = 256  # hands posed, or read, together
_CHUNK = 512  # rows of the distance matrix held at once: 8 MB for 2,000 hands


@dataclass(frozen=True)
class NamedHands:
    """Hands of one shape, each with the text it is for; wrists at the origin, metres.

    Attributes:
        ids: a hand is never compared with one of its own name.
        names: the texts.
        joints: OpenPose order.
        vertices: of the mesh.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]
    joints: Float[np.ndarray, "hands 21 3"]
    vertices: Float[np.ndarray, "hands vertices 3"]

    def __len__(self) -> int:
        return len(self.ids)


def named_hands(
    ids: Sequence[str],
    names: Sequence[str],
    mano_pose: Float[Tensor, "hands 16 3 3"],
    mano: ManoHand,
) -> NamedHands:
    """Hands of the mean shape from their poses: a text says nothing of the shape."""
    joints, vertices = pose_hands(mano_pose, mano)
    return NamedHands(tuple(ids), tuple(names), joints, vertices)


@torch.no_grad()
def pose_hands(
    mano_pose: Float[Tensor, "hands 16 3 3"], mano: ManoHand
) -> tuple[Float[np.ndarray, "hands 21 3"], Float[np.ndarray, "hands vertices 3"]]:
    """Joints and vertices of poses with the mean shape, wrists at the origin, metres."""
    parts = []
    for part in mano_pose.split(_AT_ONCE):
        hand = mano(part, part.new_zeros(len(part), 10))
        wrist = hand.joints[:, :1]
        parts.append((hand.joints - wrist, hand.vertices - wrist))
    joints, vertices = (torch.cat(column).cpu().numpy() for column in zip(*parts))
    return joints, vertices


def score_named_hands(
    hands: NamedHands,
    real: NamedHands,
    known: NamedHands,
    alike: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row a hand: its distances from real hands of the same text, and what it is read as.

    MaskHand (arXiv 2412.13393), the text-to-mesh table: PA-MPVPE, Chamfer and Hausdorff distance.

    Deviation: paper does not say which hand of a letter a generated one is compared with; here
    with all of them: `nearest_` is the smallest distance, `mean_` the mean over them. Chamfer and
    Hausdorff see hands that are not aligned but by their wrists, so orientation counts.

    Args:
        hands: to be scored.
        real: held-out hands; a hand's own name among them is passed over.
        known: hands it is read by: the one whose joints are nearest, wrists at one place, not
            turned. None of `hands`.
        alike: names that count as another one, for example letters of one static shape.

    Returns:
        id, name, `{nearest,mean}_{pa_mpvpe_mm,chamfer_m2,hausdorff_m}`, read_as, right.

    Raises:
        ValueError: no hands, or one whose text has no other real hand.
    """
    if not len(hands) or not len(known):
        raise ValueError(f"expected hands to score and to read by, got {len(hands)}, {len(known)}")
    same = alike or {}
    read = _read(hands, known)
    rows = []
    for index, (own, name) in enumerate(zip(hands.ids, hands.names)):
        there = [
            row for row, (i, n) in enumerate(zip(real.ids, real.names)) if n == name and i != own
        ]
        if not there:
            raise ValueError(f"there is no other real hand of {name!r} to compare {own} with")
        found = _distances(hands.vertices[index], real.vertices[there])
        summary = {
            f"{kind}_{key}": float(reduce(values))
            for kind, reduce in (("nearest", np.min), ("mean", np.mean))
            for key, values in found.items()
        }
        right = same.get(read[index], read[index]) == same.get(name, name)
        rows.append({"id": own, "name": name, **summary, "read_as": read[index], "right": right})
    return pd.DataFrame(rows)


def summary_of(scores: pd.DataFrame) -> dict[str, float]:
    """Means and standard deviations over the hands, share read right (`recognised`), number."""
    keys = [f"{kind}_{key}" for kind in ("nearest", "mean") for key in _MEASURES]
    summary = {key: float(scores[key].mean()) for key in keys}
    summary |= {f"{key}_std": float(scores[key].std(ddof=0)) for key in keys}
    recognised = float(scores["right"].mean())
    return {**summary, "recognised": recognised, "num_hands": float(len(scores))}


def average_pairwise_distance(joints: Float[np.ndarray, "hands 21 3"]) -> float:
    """APD in mm: mean over all pairs of hands of the mean distance of their joints.

    MaskHand (arXiv 2412.13393), unconditional generation; larger is more varied.

    Deviation: the paper does not say relative to what; we put all wrists at one place, as DPoser-X
    does. Turned wrists count as variety: pose the hands without one to compare finger poses.

    Args:
        joints: OpenPose order, metres.

    Raises:
        ValueError: fewer than two hands.
    """
    count = len(joints)
    if count < 2:
        raise ValueError(f"expected at least two hands to compare, got {count}")
    relative = joints.astype(np.float64) - joints[:, :1]
    total = 0.0
    for joint in range(1, relative.shape[1]):  # wrists are all in one place
        points = relative[:, joint]
        for start in range(0, count, _CHUNK):
            rows, others = points[start : start + _CHUNK], points[start + _CHUNK :]
            total += float(pdist(rows).sum() + cdist(rows, others).sum())
    pairs = count * (count - 1) / 2
    return MM_PER_METRE * total / (pairs * relative.shape[1])


def self_intersection_percent(
    vertices: Float[np.ndarray, "hands vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    workers: int | None = None,
) -> float:
    """Share of faces that cut into other faces of their mesh, percent, mean over the meshes.

    MaskHand (arXiv 2412.13393), unconditional generation; which faces count is told in
    `geometry.self_intersection`.

    Deviation: the paper gives no definition; we count as DPoser-X does (MeshLab's selection of
    self-intersecting faces).

    Args:
        vertices: metres.
        faces: triangles of all meshes.
        workers: threads; None takes every core that this process may use.

    Raises:
        ValueError: there is no mesh, or a vertex is not finite.
    """
    if not len(vertices) or not len(faces):
        raise ValueError(f"expected meshes, got {len(vertices)} with {len(faces)} faces each")
    return 100.0 * float(self_intersecting_faces(vertices, faces, workers).mean())


def _read(hands: NamedHands, known: NamedHands) -> list[str]:
    names = []
    for start in range(0, len(hands), _AT_ONCE):
        joints = hands.joints[start : start + _AT_ONCE]
        distance = np.zeros((len(joints), len(known)))
        for joint in range(1, joints.shape[1]):  # wrists are all in one place
            offset = joints[:, None, joint] - known.joints[None, :, joint]
            distance += np.linalg.norm(offset, axis=-1)
        names += [known.names[row] for row in distance.argmin(1)]
    return names


def _distances(
    vertices: Float[np.ndarray, "vertices 3"], truth: Float[np.ndarray, "real vertices 3"]
) -> dict[str, Float[np.ndarray, " real"]]:
    repeated = np.repeat(vertices[None].astype(np.float64), len(truth), axis=0)
    truth = truth.astype(np.float64)
    origin = np.zeros((len(truth), 3))
    aligned = mesh_errors(repeated, truth, origin, origin).errors["pa_mpvpe"].mean(1)
    surface = surface_distances(repeated, truth, workers=1)
    found = (aligned * MM_PER_METRE, surface.chamfer, surface.hausdorff)
    return dict(zip(_MEASURES, found))
