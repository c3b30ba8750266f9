"""How well a model's hands fit real photos that people have labelled a little.

Three questions that need no 3D truth: where the tips of thumb and index finger are, how many
fingers are stretched out, and which digit of a sign language a hand shows. The detector looks once
at every photo, so each model sees the same hands; how far its joints lie from the detector's is
told, too.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from tqdm import tqdm

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.hand_mix import MixMember
from hand_pipeline.data.photos.cropping import CropConfig, cut_crop
from hand_pipeline.data.photos.detection_copies import Find
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, overlap
from hand_pipeline.data.photos.files import BadPhoto, load_photo
from hand_pipeline.data.photos.probe_photos import ProbePhotos
from hand_pipeline.evaluation.photo_probe import PhotoProbeConfig, class_probe
from hand_pipeline.evaluation.reconstruct import batch_of_crops, keypoints_of
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.geometry.camera import default_intrinsics
from hand_pipeline.geometry.joints import OPENPOSE

logger = logging.getLogger(__name__)

Question = Literal["tips", "fingers", "signs"]
Predict = Callable[[HandBatch], HandHypotheses]
STRAIGHT = 0.9
"""A finger is stretched out if its tip is at least so far from its knuckle, in lengths of its
bones. Fixed before any model was scored."""
AWAY = 1.1
"""The thumb is, if its tip is so much farther from the little finger's knuckle than its last
joint is."""
_TIPS = tuple(OPENPOSE.index(name) for name in ("thumb_4", "index_4"))


class PhotoScoresConfig(Config):
    """Which photos, and how the detector looks at them."""

    folder: Path | None = Field(
        None, description="photos with a manifest.csv (docs/datasets.md); null: nothing is scored"
    )
    sets: dict[str, Question] = Field(
        {"ti1k": "tips", "finger_count": "fingers", "sign_digits": "signs"},
        description="what is asked of each set",
    )
    models: dict[str, Path] = Field({}, description="checkpoints by name")
    untrained: tuple[str, ...] = Field(
        ("mediapipe",), description="methods that need no checkpoint, by their names in `METHODS`"
    )
    refined: bool = Field(
        True, description="each checkpoint also with its hands brought onto the detector's joints"
    )
    labelled: dict[str, MixMember] = Field(
        {}, description="sets with 3D labels on which the same models are scored, by name"
    )
    detector: DetectorConfig = DetectorConfig(max_hands=2)
    probe: PhotoProbeConfig = Field(PhotoProbeConfig(), description="that reads off signs")
    batch_size: int = Field(64, gt=0, description="hands at once")


class FoundHands(NamedTuple):
    """The hands that the detector found in the photos of a set.

    Attributes:
        rows: place in the set of each photo with a hand.
        hands: in them, nearest to the labelled box.
    """

    rows: list[int]
    hands: list[Detection]


class SeenHands(NamedTuple):
    """A model's hands.

    Attributes:
        joints_2d: px of the photo. joints_3d: metres, right hands. pose: rotations of 15 joints.
    """

    joints_2d: Float[np.ndarray, "hands 21 2"]
    joints_3d: Float[np.ndarray, "hands 21 3"]
    pose: Float[np.ndarray, "hands 15 3 3"]


def find_hands(photos: ProbePhotos, detector: Find, name: str) -> FoundHands:
    """Of each photo the hand that overlaps the labelled square most."""
    found = FoundHands([], [])
    corners = photos.squares[:, :2].astype(np.float64)
    squares = np.concatenate([corners, corners + photos.squares[:, 2:]], axis=1)
    for row, file in enumerate(tqdm(photos.files, desc=f"detect {name}", unit="photo")):
        try:
            seen = detector(load_photo(file))
        except BadPhoto as error:
            logger.warning("left out %s: %s", file, error)
            continue
        if seen:
            found.rows.append(row)
            found.hands.append(max(seen, key=lambda hand: overlap(hand.box, squares[row])))
    return found


def fit_photos(
    predict: Predict,
    crop_scale: float,
    photos: ProbePhotos,
    found: FoundHands,
    cfg: PhotoScoresConfig,
    machine: MachineConfig,
) -> SeenHands:
    """What a model makes of every hand found.

    Args:
        predict: of a model in eval mode on the machine's device.
        crop_scale: side of its crops in longer sides of the hand.
        photos: the set.
        found: its hands.
        cfg: hands at once.
        machine: where the model is.
    """
    parts = []
    for first in tqdm(range(0, len(found.rows), cfg.batch_size), desc="reconstruct", unit="batch"):
        chosen = slice(first, first + cfg.batch_size)
        files = [photos.files[row] for row in found.rows[chosen]]
        parts.append(_fit(predict, crop_scale, files, found.hands[chosen], machine))
    return SeenHands(*(np.concatenate(values) for values in zip(*parts)))


def _fit(
    predict: Predict,
    crop_scale: float,
    files: Sequence[Path],
    hands: Sequence[Detection],
    machine: MachineConfig,
) -> SeenHands:
    pixels = [load_photo(file) for file in files]
    crops = [cut_crop(p, hand, CropConfig(crop_scale=crop_scale)) for p, hand in zip(pixels, hands)]
    cameras = [default_intrinsics(photo.shape[1], photo.shape[0]) for photo in pixels]
    names = tuple(map(str, files))
    batch = batch_of_crops(names, crops, cameras, keypoints_of(hands, crops))
    with torch.inference_mode():
        out = predict(batch.to(machine.device)).to("cpu")
    # of the network's input to those of the crop: both show the same square
    scale = batch.intrinsics[:, :1, 0] / out.intrinsics[:, :1, 0]
    back = torch.from_numpy(np.linalg.inv([crop.matrix for crop in crops])).float()
    return SeenHands(
        apply_affine(back, out.joints_2d[:, 0].float() * scale[..., None]).numpy(),
        out.joints_3d[:, 0].float().numpy(),
        out.mano_pose[:, 0, 1:].float().numpy(),
    )


def score_photos(
    question: Question,
    photos: ProbePhotos,
    found: FoundHands,
    fitted: SeenHands,
    cfg: PhotoProbeConfig,
) -> dict[str, float]:
    """Metrics of a model on a set.

    Returns:
        `found`: share of the photos with a hand. Of these: `detector_percent`, the mean distance of
        the joints from those that the detector saw, in % of the hand's box. For tips `tip_percent`
        and `tip_median_percent`, the distance to the label, and `tip_percent_left` and
        `tip_percent_right`, that of the hands which the detector took for such. For fingers
        `right`, the share of photos with the true number stretched out, and `off_by`, the mean
        difference. For signs `right`, the share of digits read off the pose of the fingers by a
        linear probe of other people's hands.
    """
    rows = np.array(found.rows)
    labels = photos.labels[rows]
    sizes = np.array([(hand.box[2:] - hand.box[:2]).max() for hand in found.hands])[:, None] / 100
    seen = np.stack([hand.landmarks_2d for hand in found.hands])
    away = np.linalg.norm(fitted.joints_2d - seen, axis=-1) / sizes
    metrics = {"found": len(rows) / len(photos), "detector_percent": float(away.mean())}
    if question == "tips":
        corner, side = photos.squares[rows, None, :2], photos.squares[rows, None, 2:]
        truth = photos.tips[rows] * side + corner
        errors = np.linalg.norm(fitted.joints_2d[:, _TIPS] - truth, axis=-1) / sizes
        sides = np.array([hand.handedness for hand in found.hands])
        by_side = {f"tip_percent_{side}": errors[sides == side] for side in np.unique(sides)}
        return metrics | {
            "tip_percent": float(np.nanmean(errors)),
            "tip_median_percent": float(np.nanmedian(errors)),
            **{name: float(np.nanmean(some)) for name, some in by_side.items()},
        }
    if question == "fingers":
        counted = stretched(fitted.joints_3d).sum(1)
        return metrics | {
            "right": float((counted == labels).mean()),
            "off_by": float(np.abs(counted - labels).mean()),
        }
    features = fitted.pose.reshape(len(rows), -1)
    groups = [photos.groups[row] for row in rows]
    return metrics | {"right": class_probe(features, labels, groups, cfg).accuracy}


def stretched(joints: Float[np.ndarray, "hands 21 3"]) -> Bool[np.ndarray, "hands 5"]:
    """Which fingers are stretched out, thumb first, by `STRAIGHT` and `AWAY`."""
    bones = np.linalg.norm(np.diff(joints[:, 5:].reshape(-1, 4, 4, 3), axis=2), axis=-1).sum(-1)
    reach = np.linalg.norm(joints[:, 8::4] - joints[:, 5::4], axis=-1)
    little = joints[:, 17]
    tip, last = (np.linalg.norm(joints[:, joint] - little, axis=-1) for joint in (4, 3))
    return np.concatenate([(tip > AWAY * last)[:, None], reach > STRAIGHT * bones], axis=1)
