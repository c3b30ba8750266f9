"""What `pseudo_labels` accepted, as a labelled set on disk with its keypoints."""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from hand_pipeline.data.detected_keypoints import DetectedKeypoints, write_keypoints
from hand_pipeline.data.photos.pseudo_labels import (
    SPLITS,
    PseudoLabelConfig,
    PseudoLabels,
    decoded_crop,
)
from hand_pipeline.data.readers.freihand import labels_of, write_groups, write_labels
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.files import atomic_write_bytes
from hand_pipeline.geometry.hand_fit import FittedHands
from hand_pipeline.geometry.mano import ManoHand


def write_pseudo_hands(
    labels: PseudoLabels, shards: ShardReader, mano: ManoHand, folder: Path
) -> None:
    """Write what was accepted in FreiHAND's layout (`readers.freihand`), images as they are stored.

    A split without hands is not written.
    """
    table = labels.table
    for split in SPLITS:
        rows = np.flatnonzero(table["split"] == split)
        if not rows.size:
            continue
        for number, row in enumerate(rows.tolist()):
            image = folder / split / "rgb" / f"{number:08d}.jpg"
            atomic_write_bytes(image, shards.image(row))
        fits = FittedHands(*(value[rows] for value in labels.fits))
        made = labels_of(
            fits.mano_pose, fits.betas, fits.vertices, fits.joints, labels.intrinsics[rows], mano
        )
        write_labels(folder, split, made)
        write_groups(folder, split, table["group"].iloc[rows].tolist())


def write_pseudo_keypoints(
    labels: PseudoLabels, shards: ShardReader, cfg: PseudoLabelConfig, folder: Path
) -> None:
    """Write what the looks agree on as a keypoint file a split (`data.detected_keypoints`).

    Its points are px of the images as the training cuts them (`cfg.crop_size`).
    """
    table, seen, size = labels.table, labels.looks, len(decoded_crop(shards, 0))
    shown = cfg.crop_size or size
    settings = {
        "detector": f"mediapipe {version('mediapipe')}",
        "passes": cfg.detector.passes,
        "copies": cfg.copies.model_dump(),
    }
    for split in SPLITS:
        rows = np.flatnonzero(table["split"] == split)
        if rows.size:
            found = DetectedKeypoints(
                tuple(table["id"].iloc[rows]), seen.points[rows] * (shown / size),
                seen.confidence[rows], shown, settings, seen.points_3d[rows],
            )  # fmt: skip
            write_keypoints(folder, split, found)
