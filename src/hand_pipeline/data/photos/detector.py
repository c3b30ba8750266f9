"""Hands in a photo, by MediaPipe's Hand Landmarker (Zhang et al. 2020, arXiv 2006.10214)."""

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import mediapipe as mp
import numpy as np
from jaxtyping import Float, UInt8
from mediapipe.tasks.python import BaseOptions, vision
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.data.photos.detector_model import resolve_model

Side = Literal["left", "right"]
# MediaPipe's old API took photos for mirrored selfies and so called a right hand "Left"; the Tasks
# API names the person's own hand in a photo that is not mirrored (changed by 0.10.15; checked on
# 1.2.2 with photos and rendered hands of known side).
_PERSONS_SIDE: dict[str, Side] = {"Left": "left", "Right": "right"}


class DetectorConfig(Config):
    """How hands are looked for.

    The palm network sees the whole photo at 192x192 px and misses hands that fill it or touch its
    border; a border of repeated edge pixels brings them back (sign_digits 79 to 98 %, ti1k 86 to
    95 %, 100 photos each). Where nothing is found, the photo is tried again enlarged within a
    black frame, and, if asked for, as it is: that finds hands that are small in a large photo.
    """

    model_path: Path | None = Field(
        None, description="hand_landmarker.task or a wheel of mediapipe 0.10.21; None: fetched"
    )
    model_cache: Path | None = Field(None, description="where a fetched model is kept; None: XDG")
    allow_download: bool = Field(True, description="whether a missing model may be fetched")
    max_hands: int = Field(2, ge=1, description="most hands in a photo")
    min_detection: float = Field(
        0.5, ge=0, le=1, description="palm confidence; MediaPipe's default"
    )
    min_presence: float = Field(0.5, ge=0, le=1, description="hand presence; MediaPipe's default")
    border: float = Field(
        0.2, ge=0, description="repeated-edge border of pass 1, longer sides; our measurement"
    )
    retry_border: float = Field(
        0.6, ge=0, description="black frame of pass 2, longer sides; our measurement"
    )
    upscale_to: int = Field(256, ge=1, description="shorter side in pass 2 at least, px")
    passes: int = Field(
        2, ge=1, le=3, description="tries for a photo in which no hand is found; 3 for small hands"
    )
    max_overlap: float = Field(
        0.6, gt=0, le=1, description="intersection over union that makes two finds one hand"
    )


@dataclass(frozen=True)
class Detection:
    """A hand in a photo.

    Attributes:
        box: hull of the landmarks (left, top, right, bottom), px; may reach over the border.
        landmarks_2d: px of the photo (left edge 0), OpenPose order, which is MediaPipe's.
        landmarks_3d: metres, about the hand's centre, camera axes; MediaPipe's estimate.
        handedness: which hand of the person it is.
        score: confidence of the handedness, 0.5 to 1.
        found_in: number of the pass that found it.
    """

    box: Float[np.ndarray, "4"]
    landmarks_2d: Float[np.ndarray, "21 2"]
    landmarks_3d: Float[np.ndarray, "21 3"]
    handedness: Side
    score: float
    found_in: int


class HandDetector:
    """Finds hands and their landmarks in single photos.

    One detector serves one thread; processes each make their own.

    Raises:
        DetectorModelError: no model file could be had.
    """

    def __init__(self, cfg: DetectorConfig) -> None:
        self.cfg = cfg
        path = resolve_model(cfg.model_path, cfg.model_cache, cfg.allow_download)
        options = vision.HandLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(path)),
            num_hands=cfg.max_hands,
            min_hand_detection_confidence=cfg.min_detection,
            min_hand_presence_confidence=cfg.min_presence,
        )
        with quiet_native_logs():
            self._landmarker = vision.HandLandmarker.create_from_options(options)
            blank = np.zeros((64, 64, 3), dtype=np.uint8)
            self._landmarker.detect(mp.Image(mp.ImageFormat.SRGB, blank))  # logs once, so here
        self.close = weakref.finalize(self, _release, self._landmarker)

    def __call__(self, image: UInt8[np.ndarray, "height width 3"]) -> list[Detection]:
        """The hands of an RGB photo, surest first; an empty list if there is none."""
        for number in range(1, self.cfg.passes + 1):
            if found := self._try(image, number):
                return sorted(found, key=lambda hand: -hand.score)
        return []

    def _try(self, image: np.ndarray, number: int) -> list[Detection]:
        scale, border = 1.0, 0
        longer = max(image.shape[:2])
        if number == 1:
            border = round(self.cfg.border * longer)
            shown = _framed(image, border, cv2.BORDER_REPLICATE)
        elif number == 2:
            scale = max(1.0, self.cfg.upscale_to / min(image.shape[:2]))
            border = round(self.cfg.retry_border * longer * scale)
            shown = _framed(_enlarged(image, scale), border, cv2.BORDER_CONSTANT)
        else:
            shown = image
        result = self._landmarker.detect(mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(shown)))
        extent = np.array([shown.shape[1], shown.shape[0]], dtype=np.float64)
        finds = zip(
            result.hand_landmarks, result.hand_world_landmarks, result.handedness, strict=True
        )
        return [
            _detection(
                (_points(flat)[:, :2] * extent - border) / scale, _points(deep), side, number
            )
            for flat, deep, side in finds
        ]


def _release(landmarker: Any) -> None:
    try:
        landmarker.close()
    except RuntimeError:  # the interpreter is ending and has stopped the thread that would do it
        landmarker._handle = None


def _points(landmarks: Sequence[Any]) -> np.ndarray:
    return np.array([(point.x, point.y, point.z) for point in landmarks], dtype=np.float64)


def _detection(flat: np.ndarray, deep: np.ndarray, side: Sequence[Any], number: int) -> Detection:
    return Detection(
        box=np.concatenate([flat.min(axis=0), flat.max(axis=0)]),
        landmarks_2d=flat,
        landmarks_3d=deep,
        handedness=_PERSONS_SIDE[side[0].category_name],
        score=float(side[0].score),
        found_in=number,
    )


def _framed(image: np.ndarray, border: int, kind: int) -> np.ndarray:
    if border == 0:
        return image
    return cv2.copyMakeBorder(image, border, border, border, border, kind)


def _enlarged(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    height, width = image.shape[:2]
    size = (round(width * scale), round(height * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def without_overlaps(detections: Sequence[Detection], max_overlap: float) -> list[Detection]:
    """Keep the surest of the detections that lie on one another.

    Args:
        detections: surest first.
        max_overlap: intersection over union of the boxes up to which both are kept.
    """
    kept: list[Detection] = []
    for hand in detections:
        if all(overlap(hand.box, other.box) <= max_overlap for other in kept):
            kept.append(hand)
    return kept


def overlap(one: Float[np.ndarray, "4"], two: Float[np.ndarray, "4"]) -> float:
    """Intersection over union of two boxes (left, top, right, bottom), not both empty."""
    sides = np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2])
    common = float(np.prod(np.clip(sides, 0, None)))
    total = float(np.prod(one[2:] - one[:2]) + np.prod(two[2:] - two[:2])) - common
    return common / total


@contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Keep what native libraries print to the error stream from the terminal.

    If the block raises, what they printed is shown after all.
    """
    saved = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(saved, captured.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
