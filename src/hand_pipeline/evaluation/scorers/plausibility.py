"""Signs in the numbers that a 3D prediction is in the wrong form: units, order, side or axes.

Each check asks whether the prediction fits the labels far better (less than half the typical error)
after one particular change that people forget. Poor but rightly formed predictions fit no better
after any of them.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float

from hand_pipeline.evaluation.joint_error import distances
from hand_pipeline.geometry.joints import ORDERS, permutation
from hand_pipeline.geometry.procrustes import align_both_ways

SAMPLES = 1000  # evenly spread: the median of as many does not change
FAR_BETTER = 0.5
_NOISE = 0.01  # of the hand's size: below this there is nothing to explain
_FLIP = np.array([1.0, -1.0, -1.0])  # OpenCV's camera axes <-> OpenGL's
_UNITS = {"metres": 1.0, "centimetres": 100.0, "millimetres": 1000.0}  # in a metre


def implausible(
    joints: Float[np.ndarray, "samples 21 3"],
    truth: Float[np.ndarray, "samples 21 3"],
    order: str,
    unit: str,
) -> list[str]:
    """Why a prediction looks wrong, a sentence each; nothing if it looks right.

    What is found is mended before the next check, so that a prediction with two faults gets two
    sentences.

    Args:
        joints: predicted, taken from the file's order to OpenPose's as if it was right.
        truth: labelled, in the same frame and unit.
        order: the order that the file ought to be in, a key of `geometry.joints.ORDERS`.
        unit: "metres" or "millimetres", what the file ought to be in.
    """
    rows = np.unique(np.linspace(0, len(joints) - 1, SAMPLES).astype(int))
    joints, truth = joints[rows].astype(np.float64), truth[rows].astype(np.float64)
    found = list(_collapsed(joints))
    if found:  # nothing can be told from points
        return found
    factor, said = _units(joints, truth, unit)
    found += said
    joints = joints / factor
    joints, said = _order(joints, truth, order)
    found += said
    return [*found, *_mirrored(joints, truth), *_axes(joints, truth)]


def _centred(points: np.ndarray) -> np.ndarray:
    centred: np.ndarray = points - points.mean(axis=1, keepdims=True)
    return centred


def _size(points: np.ndarray) -> np.ndarray:
    size: np.ndarray = np.linalg.norm(_centred(points), axis=(1, 2))
    return size


def _typical(points: np.ndarray, truth: np.ndarray) -> float:
    """Median over hands of the mean error, relative to the true hand's size."""
    spread = np.maximum(_size(truth), 1e-12) / np.sqrt(truth.shape[1])
    return float(np.median(distances(points, truth).mean(axis=1) / spread))


def _aligned(points: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Typical error after Procrustes: mirroring allowed, and not."""
    both = align_both_ways(torch.from_numpy(points), torch.from_numpy(truth))
    return _typical(both.official.numpy(), truth), _typical(both.strict.numpy(), truth)


def _far_better(candidate: float, given: float) -> bool:
    return given > _NOISE and candidate < FAR_BETTER * given


def _collapsed(joints: np.ndarray) -> Iterator[str]:
    share = float(np.mean(_size(joints) < 1e-9 * np.maximum(np.abs(joints).max(axis=(1, 2)), 1.0)))
    if share > 0.5:
        yield (
            f"all joints of {share:.0%} of the hands lie in one point: the predictions are empty "
            "or the wrong array was written"
        )


def _units(joints: np.ndarray, truth: np.ndarray, unit: str) -> tuple[float, list[str]]:
    """The factor by which the prediction is too large for another unit, else 1."""
    ratio = float(np.median(_size(joints) / np.maximum(_size(truth), 1e-12)))
    for other, per_metre in _UNITS.items():
        factor = per_metre / _UNITS[unit]
        if other != unit and factor / 2 < ratio < factor * 2:
            advice = f"divide by {factor:g}" if factor > 1 else f"multiply by {1 / factor:g}"
            return factor, [
                f"wrong units: predicted hands are {ratio:.4g} times as large as the labels, as if "
                f"in {other} where {unit} are expected; {advice}"
            ]
    return 1.0, []


def _order(joints: np.ndarray, truth: np.ndarray, order: str) -> tuple[np.ndarray, list[str]]:
    """The joints in the order that fits far better, if one of the known ones does."""
    in_file = joints[:, list(permutation("openpose", order))]
    given, _ = _aligned(joints, truth)
    candidates = {ORDERS[name]: name for name in reversed(ORDERS) if ORDERS[name] != ORDERS[order]}
    fits = {}
    for name in candidates.values():
        reordered = in_file[:, list(permutation(name, "openpose"))]
        fits[name] = (_aligned(reordered, truth)[0], reordered)
    best = min(fits, key=lambda name: fits[name][0])
    if not _far_better(fits[best][0], given):
        return joints, []
    return fits[best][1], [
        f"wrong joint order: aligned joints fit {given / max(fits[best][0], 1e-6):.3g} times "
        f"better if the file is read in the order of {best!r} instead of {order!r}; reorder with "
        f"geometry.joints.permutation({best!r}, {order!r})"
    ]


def _mirrored(joints: np.ndarray, truth: np.ndarray) -> Iterator[str]:
    official, strict = _aligned(joints, truth)
    if _far_better(official, strict):
        yield (
            f"mirrored: aligned joints fit {strict / max(official, 1e-6):.3g} times better if the "
            "alignment may mirror the hand, which the official score lets it; left hands were "
            "probably not mirrored back, or one axis is negated. --no-reflection shows the score "
            "without"
        )


def _axes(joints: np.ndarray, truth: np.ndarray) -> Iterator[str]:
    turned = joints * _FLIP
    given = _typical(_centred(joints), _centred(truth))
    flipped = _typical(_centred(turned), _centred(truth))
    behind = np.sign(joints[..., 2].mean(axis=1)) != np.sign(truth[..., 2].mean(axis=1))
    other_side = float(behind.mean())
    absolute = other_side > 0.9 and _far_better(_typical(turned, truth), _typical(joints, truth))
    if _far_better(flipped, given) or absolute:
        yield (
            "wrong axes: the prediction fits far better after multiplying by (1, -1, -1), the step "
            "between OpenCV's camera axes (FreiHAND, DexYCB: positive depth) and OpenGL's (HO-3D: "
            f"negative depth); {other_side:.0%} of the hands lie on the other side of the camera "
            "than their labels"
        )
