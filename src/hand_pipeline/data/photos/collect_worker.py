"""What one worker process does to photos, and a pool of them that survives a photo that kills one.

Imports no torch: a worker starts in a second or two.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from hand_pipeline.data.photos.cropping import Crop, CropConfig, cut_crop, flaws_of
from hand_pipeline.data.photos.detector import (
    Detection,
    DetectorConfig,
    HandDetector,
    without_overlaps,
)
from hand_pipeline.data.photos.duplicates import perceptual_hash
from hand_pipeline.data.photos.files import BadPhoto, load_photo
from hand_pipeline.processes import ProcessDiedError, ProcessPool


class PhotoConfig(DetectorConfig, CropConfig):
    """Everything that decides what becomes of one photo."""

    min_photo_px: int = Field(32, ge=1, description="shorter side of a photo at least, px")
    max_photo_pixels: int = Field(
        100_000_000, ge=1, description="pixels of a photo at most; more may not fit in memory"
    )


@dataclass(frozen=True)
class PhotoResult:
    """What became of one photo.

    Attributes:
        key: as given.
        outcome: JSON: `reason` and `detail` of a bad photo, or the counts of its hands and
            `crops`, the metadata of those kept.
        images: the encoded crops.
    """

    key: str
    outcome: dict[str, Any]
    images: list[bytes] = field(default_factory=list)


class PhotoWorker:
    """Turns photos into crops with one detector."""

    def __init__(self, cfg: PhotoConfig) -> None:
        cv2.setNumThreads(1)
        self.cfg = cfg
        self.detector = HandDetector(cfg)

    def __call__(self, key: str, path: Path) -> PhotoResult:
        """Detect, crop and judge the hands of one photo; a bad photo is a result too."""
        try:
            photo = load_photo(path, self.cfg.min_photo_px, self.cfg.max_photo_pixels)
        except BadPhoto as error:
            return PhotoResult(key, {"reason": error.reason, "detail": error.detail})
        found = self.detector(photo)
        hands = without_overlaps(found, self.cfg.max_overlap)
        dropped: Counter[str] = Counter(overlapping=len(found) - len(hands))
        crops, images = [], []
        for hand in hands:
            crop = cut_crop(photo, hand, self.cfg)
            if flaws := flaws_of(hand, crop, photo.shape, self.cfg):
                dropped[flaws[0]] += 1
                continue
            crops.append(_crop_meta(hand, crop, photo, self.cfg))
            images.append(_encode(crop.image, self.cfg.jpeg_quality))
        outcome = {"hands": len(found), "dropped": dict(dropped), "crops": crops}
        return PhotoResult(key, outcome, images)


def _crop_meta(hand: Detection, crop: Crop, photo: np.ndarray, cfg: CropConfig) -> dict[str, Any]:
    return {
        "photo_size": [photo.shape[1], photo.shape[0]],
        "box": hand.box.round(2).tolist(),
        "handedness": hand.handedness,
        "score": round(hand.score, 4),
        "found_in": hand.found_in,
        "mirrored": crop.mirrored,
        "matrix": crop.matrix.tolist(),
        "landmarks_2d": crop.landmarks_2d.round(2).tolist(),
        "landmarks_3d": crop.landmarks_3d.round(5).tolist(),
        "sharpness": round(crop.sharpness, 3),
        "perceptual_hash": perceptual_hash(_hand_only(crop.image, cfg.crop_scale)),
    }


def _hand_only(image: np.ndarray, crop_scale: float) -> np.ndarray:
    """The hull's square: the hash should see the hand, not the background it shares with others."""
    size = image.shape[0]
    edge = round(size * (1 - 1 / crop_scale) / 2)
    inner = image[edge : size - edge, edge : size - edge]
    return cv2.resize(inner, (64, 64), interpolation=cv2.INTER_LINEAR)


def _encode(image: np.ndarray, quality: int) -> bytes:
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)
    return content.tobytes()


@lru_cache(maxsize=1)
def _worker(cfg: PhotoConfig) -> PhotoWorker:
    """This process's worker: detectors cannot be sent."""
    return PhotoWorker(cfg)


def _work(cfg: PhotoConfig, photos: Sequence[tuple[str, Path]]) -> list[PhotoResult]:
    return [_worker(cfg)(key, path) for key, path in photos]


def process_photos(
    photos: Sequence[tuple[str, Path]], cfg: PhotoConfig, workers: int, chunk: int = 8
) -> Iterator[PhotoResult]:
    """Results of photos in the order in which they are done.

    A photo on which a worker process dies is tried once more alone; if that kills its process
    too, its result is the reason `crashed`.

    Args:
        photos: (key, path) of each.
        cfg: what to do.
        workers: processes; 0 works in this one.
        chunk: photos handed to a worker at a time.

    Raises:
        DetectorModelError: no model file could be had.
        ProcessDiedError: processes do not even start.
    """
    if workers == 0:
        worker = PhotoWorker(cfg)
        yield from (worker(key, path) for key, path in photos)
        return
    # get the model once, here: the workers find it in the cache, and errors are plain
    HandDetector(cfg).close()
    suspects: list[tuple[str, Path]] = []
    with ProcessPool(workers, [__name__]) as pool:
        parts = ((cfg, photos[at : at + chunk]) for at in range(0, len(photos), chunk))
        for (_, part), done in pool.as_done(_work, parts):
            try:
                yield from done.result()
            except ProcessDiedError as death:
                if not death.started:
                    raise
                suspects += part
    with ProcessPool(1) as alone:
        for photo in suspects:
            try:
                yield from alone.submit(_work, cfg, [photo]).result()
            except ProcessDiedError as death:
                yield PhotoResult(photo[0], {"reason": "crashed", "detail": str(death)})
