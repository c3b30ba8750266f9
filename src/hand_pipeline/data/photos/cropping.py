"""Cutting a square crop around a detected hand, and judging whether it is worth keeping."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.data.photos.detector import Detection

Flaw = Literal["unsure", "small", "outside", "blurred"]
FLAWS: tuple[Flaw, ...] = get_args(Flaw)


class CropConfig(Config):
    """How crops are cut and which are dropped."""

    crop_scale: float = Field(
        1.75, ge=1, le=4, description="side of the square, longer sides of the landmarks' hull"
    )
    crop_size: int = Field(256, ge=32, description="side of the stored crop, px")
    jpeg_quality: int = Field(92, ge=50, le=100, description="of the stored crop")
    min_score: float = Field(0.5, ge=0, le=1, description="confidence of left or right at least")
    min_hand_px: float = Field(
        32, ge=0, description="longer side of the hull at least, px of the photo; our choice"
    )
    min_inside: float = Field(
        0.7, ge=0, le=1, description="share of the hull's box inside the photo at least; our choice"
    )
    min_sharpness: float = Field(
        0, ge=0, description="standard deviation of the crop's Laplacian at least; 0: any"
    )


@dataclass(frozen=True)
class Crop:
    """A square around a hand, shown as a right hand.

    Attributes:
        image: the crop.
        matrix: photo px to crop px, on columns (x, y, 1); includes the mirroring.
        landmarks_2d: crop px.
        landmarks_3d: metres, as in `Detection`; x negated where mirrored.
        mirrored: whether it was a left hand.
        sharpness: standard deviation of the Laplacian, grey levels.
    """

    image: UInt8[np.ndarray, "size size 3"]
    matrix: Float[np.ndarray, "3 3"]
    landmarks_2d: Float[np.ndarray, "21 2"]
    landmarks_3d: Float[np.ndarray, "21 3"]
    mirrored: bool
    sharpness: float


def cut_crop(photo: UInt8[np.ndarray, "height width 3"], hand: Detection, cfg: CropConfig) -> Crop:
    """Cut the square around a hand; left hands are mirrored, and so are their landmarks.

    What lies outside the photo is black.
    """
    left, top, side = squares_around(hand.box[None], cfg.crop_scale)[0].tolist()
    image = cut_square(photo, left, top, side, cfg.crop_size)
    scale = cfg.crop_size / side
    matrix = np.array([[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1.0]])
    deep = hand.landmarks_3d
    mirrored = hand.handedness == "left"
    if mirrored:
        image = np.ascontiguousarray(image[:, ::-1])
        matrix = np.array([[-1.0, 0, cfg.crop_size], [0, 1, 0], [0, 0, 1]]) @ matrix
        deep = deep * np.array([-1.0, 1, 1])
    flat = hand.landmarks_2d @ matrix[:2, :2].T + matrix[:2, 2]
    return Crop(image, matrix, flat, deep, mirrored, _sharpness(image))


def cut_square(
    photo: UInt8[np.ndarray, "height width 3"], left: int, top: int, side: int, crop_size: int
) -> UInt8[np.ndarray, "size size 3"]:
    """A square of a photo, resized; what lies outside the photo is black."""
    window = _window(photo, left, top, side)
    if side == crop_size:
        return window
    shrink = side / crop_size
    # area means are right for every shrinking, but ten times slower than the rest of the cut
    kind = cv2.INTER_AREA if shrink >= 2 else cv2.INTER_LINEAR if shrink > 1 else cv2.INTER_CUBIC
    return cv2.resize(window, (crop_size, crop_size), interpolation=kind)


def squares_around(boxes: Float[np.ndarray, "hands 4"], scale: float) -> Int[np.ndarray, "hands 3"]:
    """Left, top and side, in whole px, of the squares with the boxes' centres.

    Args:
        boxes: left, top, right, bottom.
        scale: side of the square in longer sides of the box.
    """
    boxes = boxes.astype(np.float64)
    longer = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    side = np.maximum(1, np.round(scale * longer))
    corner = np.round((boxes[:, :2] + boxes[:, 2:] - side[:, None]) / 2)
    return np.concatenate([corner, side[:, None]], axis=1).astype(np.int64)


def flaws_of(hand: Detection, crop: Crop, shape: Sequence[int], cfg: CropConfig) -> list[Flaw]:
    """Why a crop should be dropped; empty if it is good.

    Args:
        hand: what was cut.
        crop: the result.
        shape: height and width of the photo.
        cfg: the limits.
    """
    sides = hand.box[2:] - hand.box[:2]
    corner = np.array([shape[1], shape[0]], dtype=np.float64)
    shown = np.clip(hand.box[2:], 0, corner) - np.clip(hand.box[:2], 0, corner)
    checks: dict[Flaw, bool] = {
        "unsure": hand.score < cfg.min_score,
        "small": float(sides.max()) < cfg.min_hand_px,
        "outside": float(shown.prod()) < cfg.min_inside * float(sides.prod()),
        "blurred": crop.sharpness < cfg.min_sharpness,
    }
    return [flaw for flaw, found in checks.items() if found]


def _window(photo: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    height, width = photo.shape[:2]
    rows = slice(max(top, 0), max(min(top + side, height), 0))
    columns = slice(max(left, 0), max(min(left + side, width), 0))
    part = photo[rows, columns]
    if part.shape[:2] == (side, side):
        return part
    window = np.zeros((side, side, 3), dtype=np.uint8)
    y, x = rows.start - top, columns.start - left
    window[y : y + part.shape[0], x : x + part.shape[1]] = part
    return window


def _sharpness(image: np.ndarray) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0])
