"""2D joints of labelled hands: how near a source comes, and how well a detector found them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.evaluation.curves import ErrorTally
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.geometry.joints import OPENPOSE

THRESHOLDS_PX = np.arange(50.0)
"""S2HAND's: 0 to 49 px of a 224 px image."""
Figures = dict[str, Any]


class JointsFound(NamedTuple):
    """How near the true 2D joints some source came.

    Attributes:
        figures: `auc_2d` (0 to 1), `found` (share of the joints it gave at all) and, in px of those
            it gave, `error_mean_px` and `error_median_px`; NaN where it gave none.
        curve: `threshold_px` and the share of `joints` within it.
    """

    figures: dict[str, Any]
    curve: pd.DataFrame


def score_joints_2d(
    joints: Float[np.ndarray, "hands 21 2"],
    truth: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
    given: Bool[np.ndarray, "hands 21"] | None = None,
) -> JointsFound:
    """Shares of the labelled joints within 0, 1, ... 49 px, and the trapezoid area over 49.

    As S2HAND compares its sources of 2D joints (table 10).

    A joint that was not found is within no distance: a source that keeps silent gains nothing.

    Args:
        joints: px of a 224 px image.
        truth: px of the same image.
        labelled: which joints count.
        given: which joints the source found; None: all.

    Raises:
        ValueError: no joint is labelled.
    """
    there = np.ones_like(labelled) if given is None else given
    distance = np.where(there, np.linalg.norm(joints - truth, axis=-1), np.inf)[labelled]
    if not distance.size:
        raise ValueError("expected labelled 2D joints to compare with, got none")
    tally = ErrorTally(THRESHOLDS_PX)
    tally.add(distance[:, None])
    near = distance[np.isfinite(distance)]
    figures = {
        "auc_2d": tally.area,
        "found": near.size / distance.size,
        "error_mean_px": float(near.mean()) if near.size else float("nan"),
        "error_median_px": float(np.median(near)) if near.size else float("nan"),
    }
    curve = pd.DataFrame({"threshold_px": THRESHOLDS_PX, "joints": tally.shares})
    return JointsFound(figures, curve)


def score_keypoints(
    keypoints: DetectedKeypoints,
    truth: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
) -> Figures:
    """Share found, and errors in shares of the hand's size (longer side of its joints' box).

    Only errors of joints that are labelled and were found count; figures that nothing is left for
    are absent.

    Args:
        keypoints: found, a row a hand.
        truth: labelled joints, px of the same pictures.
        labelled: which are labelled.

    Returns:
        `hands`, `hands_found` (share), `joints_found` (share of the labelled ones), `error_median`
        and `error_p90` over all joints, the same by joint under `joints`, and `confidence_mean` of
        the found joints.
    """
    seen = keypoints.confidence > 0
    errors, counted = _errors(keypoints, truth, labelled)
    figures: Figures = {"hands": len(keypoints)}
    figures |= _share("hands_found", keypoints.found) | _share("joints_found", seen[labelled])
    if seen.any():
        figures["confidence_mean"] = _rounded(keypoints.confidence[seen].mean())
    figures |= _spread(errors[counted])
    figures["joints"] = {
        name: _share("found", seen[labelled[:, joint], joint])
        | _spread(errors[counted[:, joint], joint])
        for joint, name in enumerate(OPENPOSE)
    }
    return figures


def crop_joints(
    hands: HandImages, ids: Sequence[str]
) -> tuple[Float[np.ndarray, "hands 21 2"], Bool[np.ndarray, "hands 21"]]:
    """The labelled 2D joints of some hands of a set in px of its crops, and which are labelled."""
    places = {name: row for row, name in enumerate(hands.ids)}
    rows = np.array([places[name] for name in ids], dtype=np.int64)
    manifest = hands.manifest
    points = torch.from_numpy(manifest.joints_2d[rows])
    moved = apply_affine(hands.photo_to_crop(rows), points).numpy()
    return moved, manifest.has_joints_2d[rows]


def errors_by_hand(
    keypoints: DetectedKeypoints,
    truth: Float[np.ndarray, "hands 21 2"],
    labelled: Bool[np.ndarray, "hands 21"],
) -> Float[np.ndarray, " hands"]:
    """Each hand's mean error over its found joints, as in `score_keypoints`; NaN without any."""
    errors, counted = _errors(keypoints, truth, labelled)
    total = np.where(counted, errors, 0).sum(1)
    found = counted.sum(1)
    return np.where(found > 0, total / np.maximum(found, 1), np.nan)


def _errors(
    keypoints: DetectedKeypoints, truth: np.ndarray, labelled: np.ndarray
) -> tuple[Float[np.ndarray, "hands 21"], Bool[np.ndarray, "hands 21"]]:
    """Errors in shares of the hand's size, and which count; a hand of no size has no error."""
    low = np.where(labelled[..., None], truth, np.inf).min(1)
    high = np.where(labelled[..., None], truth, -np.inf).max(1)
    side = (high - low).max(1)
    errors = (
        np.linalg.norm(keypoints.points - truth, axis=-1) / np.where(side > 0, side, 1)[:, None]
    )
    return errors, labelled & (keypoints.confidence > 0) & (side > 0)[:, None]


def _share(name: str, flags: np.ndarray) -> dict[str, float]:
    return {name: _rounded(flags.mean())} if flags.size else {}


def _spread(errors: np.ndarray) -> dict[str, float]:
    if not errors.size:
        return {}
    return {
        "error_median": _rounded(np.median(errors)),
        "error_p90": _rounded(np.percentile(errors, 90)),
    }


def _rounded(value: float | np.floating) -> float:
    return round(float(value), 5)
