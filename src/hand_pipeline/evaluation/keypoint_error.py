"""How well a detector found the joints of labelled hands."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.geometry.joints import OPENPOSE

Figures = dict[str, Any]


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
    hands: HandImages,
) -> tuple[Float[np.ndarray, "hands 21 2"], Bool[np.ndarray, "hands 21"]]:
    """The labelled 2D joints of a whole set in px of its crops, and which are labelled."""
    manifest = hands.manifest
    matrix = hands.photo_to_crop(np.arange(len(hands)))
    return apply_affine(
        matrix, torch.from_numpy(manifest.joints_2d)
    ).numpy(), manifest.has_joints_2d


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
