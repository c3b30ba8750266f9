"""OpenPose's 2D joints in the files that S2HAND's authors give out (Chen et al. 2021).

FreiHAND: one JSON file, `[peaks (N, 21, 2), confidences (N, 21, 1), names]`. HO-3D: a file for each
sequence, `SEQUENCE/detect.json`, `[peaks, confidences]`, a row a frame. Peaks are px of the photo;
a joint that was missed is (0, 0) with confidence 0. Joint order is OpenPose's.
"""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.json_records import load_json
from hand_pipeline.files import file_hash
from hand_pipeline.geometry.affine2d import apply_affine

_HIGHEST = 1.5  # heat maps overshoot 1 by a little; more is no confidence
_HO3D = ("ho3d_v2", "ho3d_v3")

logger = logging.getLogger(__name__)


class _Table(NamedTuple):
    """Detections of the photos with these numbers, px of the photos."""

    rows: dict[int, int]
    peaks: Float[np.ndarray, "photos 21 2"]
    confidence: Float[np.ndarray, "photos 21"]


def read_openpose(hands: HandImages, path: Path) -> DetectedKeypoints:
    """OpenPose's joints of a set, in px of its crops (left hands mirrored).

    FreiHAND has each labelled shot on four grounds, and S2HAND's file one entry for each shot
    (32,560): all grounds of a shot get its entry. A file that has entries for other grounds too
    (as many as photos) gives each photo its own.

    Photos that the file does not mention are left out here: `WithKeypoints` then says so, or gives
    them the confidence 0. Peaks are used as they are, in whole px; heat map values a little above 1
    count as 1.

    Args:
        hands: of FreiHAND or HO-3D.
        path: the JSON file; for HO-3D the folder of the sequences' folders.

    Raises:
        DataSetError: a file is missing, damaged, or of another form; none of the set's photos is in
            it; or the set is another one.
    """
    name = hands.manifest.dataset
    if name == "freihand":
        tables, wanted = {"": _read_table(path)}, _freihand_numbers(hands)
    elif name in _HO3D:
        places = [PurePosixPath(image) for image in hands.manifest.images]
        wanted = [[(place.parts[1], int(place.stem))] for place in places]
        sequences = sorted({place.parts[1] for place in places})
        there = {each: path / each / "detect.json" for each in sequences}
        tables = {each: _read_table(file) for each, file in there.items() if file.is_file()}
    else:
        raise DataSetError(
            f"OpenPose's files are known for freihand, {' and '.join(_HO3D)}, not for {name}; "
            "detect its hands with source mediapipe"
        )
    rows, peaks, confidence = _look_up(tables, wanted)
    if not rows:
        raise DataSetError(f"{path} has no detections of the {len(hands)} hands of {name}")
    logger.info("%s: detections of %d of %d hands", path, len(rows), len(hands))
    matrix = hands.photo_to_crop(np.array(rows))
    moved = apply_affine(matrix, torch.from_numpy(np.stack(peaks)).float()).numpy()
    sure = np.stack(confidence).astype(np.float32)
    files = [path] if path.is_file() else [path / each / "detect.json" for each in tables]
    return DetectedKeypoints(
        ids=tuple(hands.ids[row] for row in rows),
        points=moved * (sure > 0)[..., None],
        confidence=sure,
        image_size=hands.crop_size,
        settings={
            "detector": "openpose",
            "files": [file_hash(file) for file in files],
            "crops": hands.cfg.model_dump(mode="json"),
        },
    )


def _freihand_numbers(hands: HandImages) -> list[list[tuple[str, int]]]:
    """For each photo its own number, and that of its shot's first ground."""
    manifest = hands.manifest
    own = [int(PurePosixPath(image).stem) for image in manifest.images]
    shot = [int(shot.rpartition("/")[2]) for shot in manifest.shots]
    return [[("", one), ("", other)] for one, other in zip(own, shot)]


def _look_up(
    tables: dict[str, _Table], wanted: Sequence[Sequence[tuple[str, int]]]
) -> tuple[list[int], list[np.ndarray], list[np.ndarray]]:
    """Hands of which something is known, and what: the first of each one's places that is there."""
    rows, peaks, confidence = [], [], []
    for row, places in enumerate(wanted):
        for name, number in places:
            if name in tables and number in tables[name].rows:
                entry = tables[name].rows[number]
                rows.append(row)
                peaks.append(tables[name].peaks[entry])
                confidence.append(tables[name].confidence[entry])
                break
    return rows, peaks, confidence


def _read_table(path: Path) -> _Table:
    """A file of detections.

    Where names are given and are all numbers, as FreiHAND's photos have, they say which photo a row
    is of; else it is the row's own number.
    """
    # Names stand beside the numbers, so this is none of `json_arrays`' lists; it is 20 MB at most.
    parts = load_json(path)
    if not isinstance(parts, list) or len(parts) not in (2, 3):
        raise DataSetError(
            f"{path}: expected [peaks, confidences] or [peaks, confidences, names], got "
            f"{f'a list of {len(parts)}' if isinstance(parts, list) else type(parts).__name__}"
        )
    peaks = _numbers(parts[0], (21, 2), f"{path}: peaks")
    confidence = _numbers(parts[1], (21, 1), f"{path}: confidences")[..., 0]
    if len(peaks) != len(confidence):
        raise DataSetError(f"{path}: {len(peaks)} peaks, but {len(confidence)} confidences")
    if confidence.size and not 0 <= confidence.min() <= confidence.max() <= _HIGHEST:
        low, high = confidence.min(), confidence.max()
        raise DataSetError(f"{path}: confidences from {low:.3g} to {high:.3g}, expected 0 to 1")
    numbers = _photo_numbers(parts[2] if len(parts) == 3 else [], len(peaks), path)
    rows = {number: row for row, number in enumerate(numbers)}
    return _Table(rows, peaks, confidence.clip(0, 1))


def _numbers(value: Any, shape: tuple[int, int], where: str) -> np.ndarray:
    try:
        array = np.array(value, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataSetError(f"{where} are ragged or no numbers ({error})") from error
    if array.shape[1:] != shape:
        raise DataSetError(f"{where} should be (N, {shape[0]}, {shape[1]}), are {array.shape}")
    if not np.isfinite(array).all():
        raise DataSetError(f"{where} are not all finite")
    return array


def _photo_numbers(names: Any, count: int, path: Path) -> list[int]:
    if not names:
        return list(range(count))
    if not isinstance(names, list) or len(names) != count:
        raise DataSetError(f"{path}: expected a name for each of {count} rows")
    stems = [PurePosixPath(str(name)).stem for name in names]
    if not all(stem.isdecimal() for stem in stems):
        return list(range(count))
    numbers = [int(stem) for stem in stems]
    if len(set(numbers)) != count:
        raise DataSetError(f"{path}: {count - len(set(numbers))} names come twice")
    return numbers
