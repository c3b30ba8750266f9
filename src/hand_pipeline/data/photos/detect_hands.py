"""MediaPipe's 2D joints of the hands of a labelled set, as a detector would give them in use."""

import zipfile
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.photos.detection_copies import NO_COPIES, CopiesConfig, look_again
from hand_pipeline.data.photos.detector import DetectorConfig, HandDetector, overlap
from hand_pipeline.data.photos.detector_model import resolve_model
from hand_pipeline.data.photos.files import BadPhoto
from hand_pipeline.files import atomic_write, file_hash
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.processes import run_blocks

_BLOCK = 64  # images of a task; what is done stays done when a run is stopped
_MACHINE = {"model_path", "model_cache", "allow_download"}  # the model's hash stands for these


class Outcome(IntEnum):
    """What became of an image."""

    FOUND = 0
    NO_HAND = 1
    ELSEWHERE = 2
    UNREADABLE = 3


@runtime_checkable
class ImageSource(Protocol):
    """Where an image comes from, in any process: `data.hand_images.CropSource`."""

    @property
    def size(self) -> int:
        """Its side, px."""
        ...

    def load(self) -> UInt8[np.ndarray, "size size 3"]:
        """The image, RGB; raises `BadPhoto` if it cannot be read."""
        ...


class Looks(NamedTuple):
    """What the detector saw in some images.

    Attributes:
        points: px of the images; zero where no hand was found.
        confidence: 0 to 1.
        outcomes: values of `Outcome`.
        called_left: hands, all of them shown as right ones, that the detector took for left ones.
        points_3d: metres, in the axes of the images' camera.
        looks: at each image and its copies that found the hand.
    """

    points: Float[np.ndarray, "hands 21 2"]
    confidence: Float[np.ndarray, "hands 21"]
    outcomes: Int[np.ndarray, " hands"]
    called_left: Bool[np.ndarray, " hands"]
    points_3d: Float[np.ndarray, "hands 21 3"]
    looks: Int[np.ndarray, " hands"]


class DetectedHands(NamedTuple):
    """Keypoints of a set, and how many images ended in what."""

    keypoints: DetectedKeypoints
    counts: dict[str, int]


def detect_keypoints(
    hands: HandImages,
    cfg: DetectorConfig,
    parts: Path,
    workers: int,
    copies: CopiesConfig = NO_COPIES,
) -> DetectedHands:
    """Look for the hand of every image, as the set gives it (left hands mirrored).

    Of several hands the one whose box overlaps the labelled hand's most is taken; one that does not
    touch it is another hand. A hand called left is taken all the same, and counted. An image that
    cannot be read is counted and has no keypoints.

    Deviation: MaskHand and S2HAND use OpenPose, which has a confidence for each joint (S2HAND,
    section 3.2); MediaPipe has one for the hand. Ours is the agreement of several looks
    (`detection_copies.look_again`), or the hand's score without copies; 0 outside the image.

    Args:
        hands: the set.
        cfg: how hands are looked for.
        parts: folder of finished blocks of pictures: with it a stopped run goes on where it was.
            Name it by all that decides the result (`provenance.run_key`).
        workers: processes.
        copies: of each image that are looked at, too.

    Raises:
        DetectorModelError: no model file could be had.
        ProcessDiedError: a worker process died.
    """
    model = resolve_model(cfg.model_path, cfg.model_cache, cfg.allow_download)
    local = cfg.model_copy(update={"model_path": model})  # fetched once, by this process
    sources = [hands.source(row) for row in range(len(hands))]
    whole = look_at(sources, crop_boxes(hands), local, parts, workers, copies)
    counts = {each.name.lower(): int((whole.outcomes == each).sum()) for each in Outcome}
    counts["called_left"] = int(whole.called_left.sum())
    settings: dict[str, Any] = {
        "detector": f"mediapipe {version('mediapipe')}",
        "model": file_hash(model),
    }
    settings |= cfg.model_dump(mode="json", exclude=_MACHINE)
    settings |= {"crops": hands.cfg.model_dump(mode="json"), "copies": copies.model_dump()}
    return DetectedHands(
        DetectedKeypoints(
            tuple(hands.ids),
            whole.points,
            whole.confidence,
            hands.crop_size,
            settings,
            whole.points_3d,
        ),
        counts,
    )


def look_at(
    sources: Sequence[ImageSource],
    boxes: Float[np.ndarray, "hands 4"],
    cfg: DetectorConfig,
    parts: Path,
    workers: int,
    copies: CopiesConfig,
) -> Looks:
    """Look for one hand in each image; blocks that are in `parts` already are not looked at again.

    Args:
        sources: the images.
        boxes: about where the hands are, px.
        cfg, parts, workers, copies: as of `detect_keypoints`, with a model that is here.

    Raises:
        ProcessDiedError: a worker process died.
    """
    starts = range(0, len(sources), _BLOCK)
    found = {first: looks for first in starts if (looks := _read_part(parts, first)) is not None}
    tasks = []
    for first in starts:
        if first not in found:
            rows = slice(first, min(first + _BLOCK, len(sources)))
            block = (first, tuple(sources[rows]), boxes[rows], cfg, copies)
            tasks.append((block, rows.stop - first))
    for arguments, looks in run_blocks(look, tasks, workers, "detect hands"):
        first = int(str(arguments[0]))
        _write_part(parts, first, looks)
        found[first] = looks
    return Looks(*(np.concatenate(column) for column in zip(*(found[n] for n in starts))))


def crop_boxes(hands: HandImages) -> Float[np.ndarray, "hands 4"]:
    """The labelled boxes (left, top, right, bottom) in px of the crops."""
    corners = torch.from_numpy(hands.manifest.boxes).unflatten(1, (2, 2))
    moved = apply_affine(hands.photo_to_crop(np.arange(len(hands))), corners)
    return torch.cat([moved.amin(1), moved.amax(1)], dim=1).numpy()


def look(
    first: int,
    sources: tuple[ImageSource, ...],
    boxes: Float[np.ndarray, "hands 4"],
    cfg: DetectorConfig,
    copies: CopiesConfig,
) -> Looks:
    """Look for the hands of a block of images, in whatever process this is.

    Args:
        first: number of the block's first image; with the row it decides an image's copies.
        sources: the images.
        boxes: of the labelled hands in them, px.
        cfg: how hands are looked for, with a model that is here.
        copies: of each image that are looked at, too.
    """
    points = np.zeros((len(sources), 21, 2), dtype=np.float32)
    confidence = np.zeros((len(sources), 21), dtype=np.float32)
    points_3d = np.zeros((len(sources), 21, 3), dtype=np.float32)
    outcomes = np.full(len(sources), Outcome.NO_HAND, dtype=np.int64)
    called_left = np.zeros(len(sources), dtype=bool)
    looks = np.zeros(len(sources), dtype=np.int64)
    detector = _detector(cfg)
    for row, (source, box) in enumerate(zip(sources, boxes)):
        try:
            image = source.load()
        except BadPhoto:
            outcomes[row] = Outcome.UNREADABLE
            continue
        if not (seen := detector(image)):
            continue
        best = max(seen, key=lambda hand: overlap(hand.box, box))
        if overlap(best.box, box) == 0:
            outcomes[row] = Outcome.ELSEWHERE
            continue
        outcomes[row] = Outcome.FOUND
        agreed = look_again(
            detector, image, best, copies, np.random.default_rng([copies.seed, first + row])
        )
        points[row], points_3d[row], looks[row] = agreed.points, agreed.points_3d, agreed.looks
        confidence[row] = np.where(_inside(agreed.points, source.size), agreed.confidence, 0.0)
        called_left[row] = best.handedness == "left"
    return Looks(points, confidence, outcomes, called_left, points_3d, looks)


def _inside(points: Float[np.ndarray, "21 2"], size: int) -> Bool[np.ndarray, "21"]:
    return np.all((points >= 0) & (points <= size), axis=1)


@lru_cache(maxsize=1)
def _detector(cfg: DetectorConfig) -> HandDetector:
    """This process's detector; made when first asked for."""
    cv2.setNumThreads(1)
    return HandDetector(cfg)


def _part(parts: Path, first: int) -> Path:
    return parts / f"{first:08d}.npz"


def _write_part(parts: Path, first: int, looks: Looks) -> None:
    arrays: dict[str, Any] = looks._asdict()
    with atomic_write(_part(parts, first)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def _read_part(parts: Path, first: int) -> Looks | None:
    """A finished block; None if it is not there, or is no longer readable."""
    try:
        with np.load(_part(parts, first), allow_pickle=False) as arrays:
            return Looks(**{name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile):
        return None
