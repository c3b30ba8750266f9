"""DexYCB's folders, splits and label files; `dexycb` makes hands of them."""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float
from tqdm import tqdm

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.accounting import settle_absent

SUBJECTS = (
    "20200709-subject-01", "20200813-subject-02", "20200820-subject-03", "20200903-subject-04",
    "20200908-subject-05", "20200918-subject-06", "20200928-subject-07", "20201002-subject-08",
    "20201015-subject-09", "20201022-subject-10",
)  # fmt: skip
SERIALS = (
    "836212060125", "839512060362", "840412060917", "841412060263",
    "932122060857", "932122060861", "932122061900", "932122062010",
)  # fmt: skip
SEQUENCES = 100  # of each subject; the splits go by a sequence's place among them

_SHAPES = {"pose_m": (1, 51), "joint_3d": (1, 21, 3), "joint_2d": (1, 21, 2)}
_UNLABELLED = (0.0, -1.0, -1.0)
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is there


class Part(NamedTuple):
    """What a split takes: places in `SUBJECTS`, among a subject's sequences, and in `SERIALS`."""

    subjects: tuple[int, ...]
    sequences: tuple[int, ...]
    cameras: tuple[int, ...]


class CameraFolder(NamedTuple):
    """One camera's folder of one sequence.

    Attributes:
        path: relative to the root.
        first: place of its first frame in the official list.
        frames: number of them.
        camera: place of its serial in `SERIALS`.
    """

    path: str
    first: int
    frames: int
    camera: int
    is_right: bool
    betas: Float[np.ndarray, "10"]


@dataclass(frozen=True)
class FrameLabels:
    """Of every frame of a split, as they are in the files."""

    pose_m: Float[np.ndarray, "frames 51"]
    joint_3d: Float[np.ndarray, "frames 21 3"]
    joint_2d: Float[np.ndarray, "frames 21 2"]


def split_parts(split: str) -> Part:
    """The authors' splits: s0 seen, s1 unseen subjects, s2 unseen cameras, s3 unseen objects.

    Args:
        split: "s0_train" to "s3_test".

    Raises:
        DataSetError: there is no such split.
    """
    people, places, views = tuple(range(10)), tuple(range(SEQUENCES)), tuple(range(8))
    setup, _, part = split.partition("_")
    if setup not in ("s0", "s1", "s2", "s3") or part not in ("train", "val", "test"):
        raise DataSetError(f"DexYCB has no split {split!r}; expected s0_train to s3_test")
    if setup == "s0":
        if part == "train":
            return Part(people, tuple(i for i in places if i % 5 != 4), views)
        return Part(people[:2] if part == "val" else people[2:], places[4::5], views)
    if setup == "s1":
        subjects = {"train": (0, 1, 2, 3, 4, 5, 9), "val": (6,), "test": (7, 8)}
        return Part(subjects[part], places, views)
    if setup == "s2":
        return Part(people, places, {"train": views[:6], "val": (6,), "test": (7,)}[part])
    groups = {"val": (3, 19), "test": (7, 11, 15)}  # of five sequences with one grasped object
    if part == "train":
        held_out = groups["val"] + groups["test"]
        return Part(people, tuple(i for i in places if i // 5 not in held_out), views)
    return Part(people, tuple(i for i in places if i // 5 in groups[part]), views)


def list_folders(root: Path, part: Part, partial: bool) -> tuple[list[CameraFolder], bool]:
    """Camera folders in the toolkit's order, and whether every subject is whole.

    The splits and the numbering go by a sequence's place among all 100 of a subject, so a subject
    that lacks one is absent as a whole.
    """
    subjects = {SUBJECTS[i]: _sequences_of(root / SUBJECTS[i]) for i in part.subjects}
    missing = {name: len(found) for name, found in subjects.items() if len(found) < SEQUENCES}
    absent = [f"{name} ({count} of {SEQUENCES} sequences)" for name, count in missing.items()]
    settle_absent(
        root, "subjects of the split", absent, len(subjects), partial,
        "; expected DexYCB's folder ($DEX_YCB_DIR). The rest has no official numbering",
    )  # fmt: skip
    betas: dict[str, np.ndarray] = {}
    folders: list[CameraFolder] = []
    first = 0
    for name, sequences in subjects.items():
        if name in missing:
            continue
        for sequence in (sequences[i] for i in part.sequences):
            frames, is_right, calibration = _read_meta(sequence / "meta.yml")
            if calibration not in betas:
                where = root / "calibration" / f"mano_{calibration}" / "mano.yml"
                betas[calibration] = _from_yaml(where, _betas_of)
            for camera in part.cameras:
                path = f"{name}/{sequence.name}/{SERIALS[camera]}"
                shape = betas[calibration]
                folders.append(CameraFolder(path, first, frames, camera, is_right, shape))
                first += frames
    return folders, not missing


def _sequences_of(subject: Path) -> list[Path]:
    """DATE_TIME; none if the subject is not there."""
    names = sorted(p for p in subject.iterdir()) if subject.is_dir() else []
    found = [p for p in names if re.fullmatch(r"\d{8}_\d{6}", p.name) and p.is_dir()]
    if len(found) > SEQUENCES:
        raise DataSetError(
            f"{subject} has {len(found)} sequence folders, expected exactly {SEQUENCES}: the "
            "splits and the numbering go by a sequence's place among all of them. Unpack the "
            "subject's archive again"
        )
    return found


def _from_yaml(path: Path, take: Callable[[Any], Any]) -> Any:
    """What `take` makes of a YAML file."""
    try:
        return take(yaml.load(path.read_bytes(), Loader=_YAML))
    except OSError as error:
        raise DataSetError(
            f"{path} cannot be read ({error.strerror}); unpack DexYCB's archives again"
        ) from error
    except (yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataSetError(
            f"{path} is not what DexYCB has there ({type(error).__name__}: {error}); copy it again"
        ) from error


def _read_meta(path: Path) -> tuple[int, bool, str]:
    """Number of frames, side of the hand, name of its calibration."""
    frames, side, calibration = _from_yaml(
        path, lambda meta: (int(meta["num_frames"]), meta["mano_sides"][0], meta["mano_calib"][0])
    )
    if side not in ("right", "left") or frames < 0:
        raise DataSetError(f"{path}: expected a right or left hand, got {side!r}, {frames} frames")
    return frames, side == "right", str(calibration)


def _betas_of(content: Any) -> Float[np.ndarray, "10"]:
    return np.array(content["betas"], dtype=np.float32).reshape(10)


def read_camera(root: Path, serial: str) -> Float[np.ndarray, "3 3"]:
    """Intrinsics of a colour camera, px of its 640 x 480 photos."""

    def take(content: Any) -> np.ndarray:
        fx, fy, px, py = (float(content["color"][key]) for key in ("fx", "fy", "ppx", "ppy"))
        return np.array([[fx, 0.0, px], [0.0, fy, py], [0.0, 0.0, 1.0]])

    path = root / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
    camera: np.ndarray = _from_yaml(path, take)
    return camera


def read_labels(
    root: Path, folders: Sequence[CameraFolder], threads: int, partial: bool
) -> FrameLabels:
    """Every label file of the folders; with a progress bar on a terminal.

    Args:
        root: `$DEX_YCB_DIR`.
        folders: as `list_folders` gives them.
        threads: files read at once; most of the time is waiting for the disk.
        partial: take frames without a label file for frames without a hand.

    Raises:
        DataSetError: which file is missing or broken.
    """
    total = sum(f.frames for f in folders)
    arrays = [np.empty((total, *shape[1:]), np.float32) for shape in _SHAPES.values()]
    absent: list[str] = []
    pool = ThreadPoolExecutor(threads)
    try:
        bar = tqdm(total=total, desc="DexYCB labels", unit="file", disable=None)
        with bar:
            done = pool.map(lambda f: _read_folder(root / f.path, f.frames), folders)
            for folder, (found, missing) in zip(folders, done):
                absent += [f"{folder.path}/{name}" for name in missing]
                for array, values in zip(arrays, found):
                    array[folder.first : folder.first + folder.frames] = values
                bar.update(folder.frames)
    finally:
        pool.shutdown(cancel_futures=True)
    settle_absent(root, "label files that the meta.yml count", absent, total, partial)
    return FrameLabels(*arrays)


def _read_folder(folder: Path, frames: int) -> tuple[list[np.ndarray], list[str]]:
    """Labels of a camera's frames, and the files that are not there: frames without a hand."""
    found = [np.empty((frames, *shape[1:]), np.float32) for shape in _SHAPES.values()]
    absent = []
    for frame in range(frames):
        name = f"labels_{frame:06d}.npz"
        try:
            for array, value in zip(found, _read_file(folder / name)):
                array[frame] = value
        except FileNotFoundError:
            absent.append(name)
            for array, fill in zip(found, _UNLABELLED):
                array[frame] = fill
    return found, absent


def _read_file(path: Path) -> Iterator[np.ndarray]:
    """The hand's labels; the segmentation, most of the file, is not unpacked."""
    try:
        with np.load(path, allow_pickle=False) as content:
            for name, shape in _SHAPES.items():
                value = content[name]
                if value.shape != shape:
                    raise ValueError(f"{name} has shape {value.shape}, expected {shape}")
                yield value[0]
    except FileNotFoundError:
        raise
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise DataSetError(
            f"{path} is broken or not DexYCB's ({error}); unpack the subject's archive again"
        ) from error
