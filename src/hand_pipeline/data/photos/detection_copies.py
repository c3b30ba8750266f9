"""How sure a detector is of each joint: it looks again at turned, resized and mirrored copies.

MediaPipe has one score a hand, so weights by joint would all be the same. What a detector is
unsure of it puts elsewhere when the photo is turned a little (test-time augmentation): the spread
of a joint over copies of an image tells its error.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from hand_pipeline.config import Config
from hand_pipeline.data.photos.detector import Detection, overlap

Find = Callable[[UInt8[np.ndarray, "height width 3"]], list[Detection]]


class CopiesConfig(Config):
    """Copies of each image that are looked at, too. All defaults are our choice."""

    count: int = Field(8, ge=0, description="copies; 0: every joint gets the hand's score")
    rotation_deg: float = Field(30.0, ge=0, le=180, description="turned by up to, either way")
    scale_min: float = Field(0.8, gt=0, description="smallest size of a copy's content")
    scale_max: float = Field(1.1, gt=0, description="largest")
    mirrored: float = Field(0.5, ge=0, le=1, description="share of mirrored copies")
    spread: float = Field(
        0.05,
        gt=0,
        description="standard deviation at which a joint's confidence has fallen to exp(-1/2), "
        "of the hand's longer side",
    )
    seed: int = Field(0, ge=0, description="of the copies")


NO_COPIES = CopiesConfig(count=0)


class SeenJoints(NamedTuple):
    """What several looks at a hand agree on.

    Attributes:
        points: median over the looks that found the hand, px.
        confidence: 0 to 1.
        points_3d: median of the 3D joints, metres, in the axes of the image's camera.
        looks: how many found the hand, the first one counted.
    """

    points: Float[np.ndarray, "21 2"]
    confidence: Float[np.ndarray, "21"]
    points_3d: Float[np.ndarray, "21 3"]
    looks: int = 1


def look_again(
    find: Find,
    image: UInt8[np.ndarray, "height width 3"],
    first: Detection,
    cfg: CopiesConfig,
    rng: np.random.Generator,
) -> SeenJoints:
    """The median of a hand's joints over copies of its image, and a confidence for each.

    The confidence is `f exp(-s^2 / (2 spread^2))`: f is the share of looks that found the hand, s
    the standard deviation of a coordinate, told from the median distance, in longer sides of the
    hand. With no copies the points and score of `first` come back.

    Args:
        find: hands in an image.
        image: RGB.
        first: the hand, as found in it.
        cfg: how copies are made.
        rng: draws the copies.
    """
    if not cfg.count:
        return SeenJoints(first.landmarks_2d, np.full(21, first.score), first.landmarks_3d)
    finds, deep = [first.landmarks_2d], [first.landmarks_3d]
    for copy, matrix in _copies(image, cfg, rng):
        box = _moved(_corners(first.box), matrix)
        hull = np.concatenate([box.min(0), box.max(0)])
        if not (seen := find(copy)):
            continue
        best = max(seen, key=lambda hand: overlap(hand.box, hull))
        if overlap(best.box, hull) > 0:
            back = cv2.invertAffineTransform(matrix)
            finds.append(_moved(best.landmarks_2d, back))
            deep.append(_turned(best.landmarks_3d, back[:, :2]))
    points = np.median(finds, axis=0)
    side = max(float(np.ptp(points, axis=0).max()), 1e-6)
    away = np.median(np.linalg.norm(np.array(finds) - points, axis=-1), axis=0) / side
    deviation = away / np.sqrt(2 * np.log(2))  # the median of a Rayleigh distribution
    share = len(finds) / (1 + cfg.count)
    confidence = share * np.exp(-((deviation / cfg.spread) ** 2) / 2)
    return SeenJoints(points, confidence, np.median(deep, axis=0), len(finds))


def _copies(
    image: np.ndarray, cfg: CopiesConfig, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, Float[np.ndarray, "2 3"]]]:
    """Copies, and the map of points into each (left edge 0)."""
    height, width = image.shape[:2]
    for _ in range(cfg.count):
        angle = rng.uniform(-cfg.rotation_deg, cfg.rotation_deg)
        scale = rng.uniform(cfg.scale_min, cfg.scale_max)
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
        if rng.random() < cfg.mirrored:
            matrix[0] = [0, 0, width] - matrix[0]
        centres = matrix.copy()  # OpenCV counts from the middle of the first pixel
        centres[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
        copy = cv2.warpAffine(image, centres, (width, height), borderMode=cv2.BORDER_REPLICATE)
        yield copy, matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    moved: np.ndarray = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def _turned(points: Float[np.ndarray, "21 3"], linear: np.ndarray) -> Float[np.ndarray, "21 3"]:
    """3D joints after a turn, or a mirroring, of their image."""
    turn = linear / np.sqrt(abs(np.linalg.det(linear)))
    return np.concatenate([points[:, :2] @ turn.T, points[:, 2:]], axis=1)


def _corners(box: Float[np.ndarray, "4"]) -> Float[np.ndarray, "4 2"]:
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
