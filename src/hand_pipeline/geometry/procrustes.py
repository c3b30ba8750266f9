"""Alignment of point sets before their distance is measured (FreiHAND's and HO-3D's rules)."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from hand_pipeline.geometry.precision import full_precision

_EPSILON = 1e-8
"""Added to both norms by FreiHAND's evaluator; keeps a point set of no extent finite."""


class Similarity(NamedTuple):
    """`aligned = scale * rotation @ x + translation`, column vectors."""

    scale: Float[Tensor, " batch"]
    rotation: Float[Tensor, "batch 3 3"]
    translation: Float[Tensor, "batch 3"]


@full_precision
def fit_similarity(
    source: Float[Tensor, "batch points 3"],
    target: Float[Tensor, "batch points 3"],
    allow_reflection: bool = True,
) -> Similarity:
    """The similarity that brings `source` nearest to `target` (orthogonal Procrustes).

    Definition of FreiHAND's and HO-3D's official evaluators (`align_w_scale`): both sets are
    centred and divided by their Frobenius norm + 1e-8, and the determinant of the rotation is NOT
    checked, so a mirrored prediction can be aligned perfectly.

    Args:
        source: prediction. float64 for published metrics.
        target: ground truth, same unit.
        allow_reflection: False keeps the determinant at +1 (Umeyama 1991, eq. 40-42), as HaMeR's
            evaluator does.
    """
    source_mean, target_mean = source.mean(1, keepdim=True), target.mean(1, keepdim=True)
    source, target = source - source_mean, target - target_mean
    source_norm = source.norm(dim=(1, 2)) + _EPSILON
    target_norm = target.norm(dim=(1, 2)) + _EPSILON
    covariance = (target / target_norm[:, None, None]).mT @ (source / source_norm[:, None, None])
    left, singular, right = torch.linalg.svd(covariance)
    if not allow_reflection:
        last = torch.linalg.det(left @ right).sign()
        ones = torch.ones_like(last)
        signs = torch.stack([ones, ones, last], dim=-1)
        left, singular = left * signs[:, None], singular * signs
    rotation = left @ right
    scale = singular.sum(-1) * target_norm / source_norm
    translation = target_mean[:, 0] - scale[:, None] * (rotation @ source_mean.mT)[..., 0]
    return Similarity(scale, rotation, translation)


@full_precision
def align(
    points: Float[Tensor, "batch points 3"], similarity: Similarity
) -> Float[Tensor, "batch points 3"]:
    """`points` after `similarity`."""
    turned = points @ similarity.rotation.mT
    return similarity.scale[:, None, None] * turned + similarity.translation[:, None]


class BothAlignments(NamedTuple):
    """Points after the similarity that may mirror, and after the one that may not."""

    official: Float[Tensor, "batch points 3"]
    strict: Float[Tensor, "batch points 3"]


def align_both_ways(
    source: Float[Tensor, "batch points 3"], target: Float[Tensor, "batch points 3"]
) -> BothAlignments:
    """`procrustes_align` with and without reflections; the two differ in mirrored hands only."""
    similarity = fit_similarity(source, target)
    official = align(source, similarity)
    mirrored = torch.linalg.det(similarity.rotation) < 0
    if not mirrored.any():
        return BothAlignments(official, official)
    strict = official.clone()
    strict[mirrored] = procrustes_align(source[mirrored], target[mirrored], False)
    return BothAlignments(official, strict)


def procrustes_align(
    source: Float[Tensor, "batch points 3"],
    target: Float[Tensor, "batch points 3"],
    allow_reflection: bool = True,
) -> Float[Tensor, "batch points 3"]:
    """`source` brought nearest to `target` by `fit_similarity`."""
    return align(source, fit_similarity(source, target, allow_reflection))


def scale_translation_align(
    source: Float[Tensor, "batch points 3"],
    target: Float[Tensor, "batch points 3"],
    root: int = 0,
    bone: tuple[int, int] = (0, 9),
) -> Float[Tensor, "batch points 3"]:
    """HO-3D's "scale and translation" alignment: one bone sets the scale, the root the place.

    Not rotated. HO-3D's index 4 is the middle finger's base, which is 9 in OpenPose's order. A
    predicted bone of no length counts as one of length 1, as in the official program. Each step is
    the official one, so that even rounding agrees: a copy of the truth has errors of exactly 0 in
    the same joints.

    Args:
        source: predicted joints.
        target: true joints, same unit.
        root: joint moved onto the truth's.
        bone: its two joints; its length is made the truth's.
    """
    source_length, target_length = _bone_length(source, bone), _bone_length(target, bone)
    unit = torch.where(source_length > 0, source / source_length, source)
    scaled = unit * target_length
    return scaled - scaled[:, root : root + 1] + target[:, root : root + 1]


def _bone_length(points: Tensor, bone: tuple[int, int]) -> Tensor:
    x, y, z = (points[:, bone[1]] - points[:, bone[0]]).unbind(-1)
    return (x * x + y * y + z * z).sqrt()[:, None, None]
