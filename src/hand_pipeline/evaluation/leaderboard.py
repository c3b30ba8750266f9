"""From a model and a data set's evaluation split to the file that its leaderboard takes."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from tqdm import tqdm

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandHypotheses
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.evaluation.submission_files import (
    dexycb_results,
    keypoints_2d,
    pred_json,
    submission_paths,
)
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import mirror_points, with_tips
from hand_pipeline.training.method import Reconstructor

_OPENGL = np.array([1.0, -1.0, -1.0], dtype=np.float32)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Benchmark:
    """What a leaderboard wants to have.

    Attributes:
        hand_set: key of `HAND_SETS`, which has the published number of hands.
        splits: to be predicted; one file each.
        form: of the file.
        tips: whose fingertip vertices are joints, a key of `TIP_VERTICES`.
        left_tips: the same of left hands.
        opengl: whether y and z are negated.
        gives_wrist: whether the true wrist's place is given with the evaluation photos.
    """

    hand_set: str
    splits: tuple[str, ...]
    form: Literal["pred_json", "dexycb", "keypoints_2d"]
    tips: str
    left_tips: str
    opengl: bool = False
    gives_wrist: bool = False


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "freihand": Benchmark("freihand", ("evaluation",), "pred_json", "freihand", "freihand"),
        "ho3d_v2": Benchmark(
            "ho3d_v2", ("evaluation",), "pred_json", "ho3d", "ho3d", opengl=True, gives_wrist=True
        ),
        "ho3d_v3": Benchmark(
            "ho3d_v3", ("evaluation",), "pred_json", "ho3d", "ho3d", opengl=True, gives_wrist=True
        ),
        "dexycb": Benchmark("dexycb", ("s0_test",), "dexycb", "dexycb", "dexycb_left"),
        "hint": Benchmark(
            "hint",
            ("TEST_newdays_img", "TEST_epick_img", "TEST_ego4d_img"),
            "keypoints_2d",
            "mano",
            "mano",
        ),
    }
)


class LeaderboardConfig(Config):
    """How a benchmark is predicted."""

    batch_size: int = Field(64, gt=0)
    partial: bool = Field(
        False,
        description="also export fewer hands than were published, where the copy lacks photos or "
        "other parts: not for the leaderboard",
    )
    splits: tuple[str, ...] = Field(
        (), description='of the set, in place of the benchmark\'s own, e.g. "s1_test"'
    )
    known_wrist: bool = Field(
        False,
        description="move hands to the wrist's place that HO-3D gives with its evaluation photos",
    )


class PlacedHands(NamedTuple):
    """Predicted hands of their own side in their photo's camera: metres, OpenCV, OpenPose order.

    Attributes:
        rows: of the manifest.
        joints: with the benchmark's fingertips.
        joints_2d: their projection, px of the photo.
    """

    rows: Int[np.ndarray, " hands"]
    joints: Float[np.ndarray, "hands 21 3"]
    vertices: Float[np.ndarray, "hands 778 3"]
    joints_2d: Float[np.ndarray, "hands 21 2"]


class Exported(NamedTuple):
    """What was written for one split.

    Attributes:
        hands: in the file.
        published: in the whole split; None where nobody states it.
        files: the last one is what is handed in.
        num_bytes: its size.
    """

    split: str
    hands: int
    published: int | None
    files: tuple[Path, ...]
    num_bytes: int

    @property
    def complete(self) -> bool:
        """Whether it may be handed in."""
        return self.published is None or self.hands == self.published


def export_benchmark(
    name: str,
    model: Reconstructor,
    data: Path,
    out: Path,
    cfg: LeaderboardConfig | None = None,
    device: torch.device | str = "cpu",
    num_workers: int = 0,
) -> list[Exported]:
    """Predict a benchmark's evaluation hands and write what its leaderboard takes.

    FreiHAND and HO-3D: `pred.json` and `pred.zip`; DexYCB: `SPLIT.txt`; HInt: `SPLIT.json` of each
    part. Labels are not looked at, but for HO-3D's wrist if `cfg.known_wrist` asks for it; crops
    are cut around the boxes that come with the set (of DexYCB: around its labelled 2D joints, as
    the papers do).

    Args:
        name: key of `BENCHMARKS`.
        model: in eval mode, on `device`.
        data: the data set's folder.
        out: folder for the files.
        cfg: how to predict.
        device: of the model.
        num_workers: processes that load photos.

    Raises:
        DataSetError: the data are missing, broken, or fewer than published without `cfg.partial`.
        ValueError: an unknown benchmark, or a prediction that is not finite.
    """
    benchmark, cfg = find_benchmark(name), cfg or LeaderboardConfig()
    exported = []
    for split, images in _evaluation_hands(benchmark, model, data, cfg):
        published = HAND_SETS[benchmark.hand_set].splits[split]
        placed = predict_benchmark(model, images, benchmark, cfg, device, num_workers)
        files = _write(benchmark, images.manifest, placed, out)
        size = files[-1].stat().st_size
        exported.append(Exported(split, len(images), published, files, size))
    return exported


def find_benchmark(name: str) -> Benchmark:
    """The entry of `BENCHMARKS`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in BENCHMARKS:
        raise ValueError(f"unknown benchmark {name!r}; known: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def evaluation_hands(
    benchmark: Benchmark, model: Reconstructor, data: Path, split: str, partial: bool = False
) -> HandImages:
    """The hands of a split, cut as the model's training hands were; see `read_hands`."""
    manifest = read_hands(benchmark.hand_set, data, split, model.mano, partial)
    if manifest.image_side is not None:  # whole pictures
        return HandImages(manifest, model.mano)
    return HandImages(manifest, model.mano, HandCropConfig(crop_scale=float(model.crop_scale)))


def predict_benchmark(
    model: Reconstructor,
    images: HandImages,
    benchmark: Benchmark,
    cfg: LeaderboardConfig,
    device: torch.device | str = "cpu",
    num_workers: int = 0,
) -> Iterator[PlacedHands]:
    """Predict all hands of a split in its order, a batch at a time; see `export_benchmark`."""
    batches = batches_in_order(images, cfg.batch_size, num_workers)
    title = f"{images.manifest.dataset} {images.manifest.split}"
    bar = tqdm(total=len(images), desc=title, unit="hand")
    start = 0
    with bar, torch.inference_mode():
        for batch in batches:
            rows = np.arange(start, start + len(batch))
            start += len(batch)
            found = model.predict(batch.to(device), only_hands=True)
            yield _place(found, rows, images, benchmark, cfg.known_wrist)
            bar.update(len(batch))


def _place(
    found: HandHypotheses,
    rows: Int[np.ndarray, " hands"],
    images: HandImages,
    benchmark: Benchmark,
    known_wrist: bool,
) -> PlacedHands:
    """Hands of right-hand crops as they are in their photos.

    A crop's camera stands where the photo's stands and looks the same way (`A K`), so that the
    hand stays where it is; of a left hand's crop it is the mirrored world's.
    """
    chosen = images.manifest.select(rows)
    joints, vertices = (value[:, 0].cpu().float() for value in (found.joints_3d, found.vertices))
    left = torch.from_numpy(~chosen.is_right)[:, None, None]
    tips, left_tips = (
        with_tips(joints, vertices, tips) for tips in (benchmark.tips, benchmark.left_tips)
    )
    joints = torch.where(left, mirror_points(left_tips), tips)
    vertices = torch.where(left, mirror_points(vertices), vertices)
    if known_wrist and benchmark.gives_wrist:
        known = torch.from_numpy(chosen.has_joints_3d[:, :1, None])
        shift = (torch.from_numpy(chosen.joints_3d) - joints)[:, :1] * known
        joints, vertices = joints + shift, vertices + shift
    pixels = project(joints, images.photo_cameras(rows))
    return PlacedHands(rows, *(value.numpy() for value in (joints, vertices, pixels)))


def _evaluation_hands(
    benchmark: Benchmark,
    model: Reconstructor,
    data: Path,
    cfg: LeaderboardConfig,
) -> list[tuple[str, HandImages]]:
    """All splits, read and counted before the first one is predicted."""
    found = []
    wanted = cfg.splits or benchmark.splits
    for split in wanted:
        try:
            images = evaluation_hands(benchmark, model, data, split, cfg.partial)
        except DataSetError as error:
            if not (cfg.partial and len(wanted) > 1):
                raise
            _LOG.warning("%s is left out: %s", split, error)
            continue
        _check_count(benchmark, split, len(images), cfg.partial)
        found.append((split, images))
    if not found:
        raise DataSetError(f"{data} holds none of {', '.join(wanted)}")
    return found


def _check_count(benchmark: Benchmark, split: str, found: int, partial: bool) -> None:
    known = HAND_SETS[benchmark.hand_set]
    published = known.splits[split]
    if published is None or found == published:
        return
    text = f"{known.title} {split} was published with {published} hands, here are {found}"
    if found > published:
        raise DataSetError(f"{text}; the folder holds more than the set")
    if not partial:
        raise DataSetError(
            f"{text}. Complete the copy; or ask for a partial file (--partial, export.partial), "
            "which no leaderboard takes"
        )
    _LOG.warning("%s: a PARTIAL file, which no leaderboard takes", text)


def _write(
    benchmark: Benchmark, manifest: HandManifest, placed: Iterator[PlacedHands], out: Path
) -> tuple[Path, ...]:
    """Convert and write batch by batch; the files."""
    count = len(manifest)
    match benchmark.form:
        case "pred_json":
            order = list(permutation("openpose", benchmark.hand_set.partition("_")[0]))
            axes = _OPENGL if benchmark.opengl else np.float32(1)
            with pred_json(out, count) as hands:
                for batch in placed:
                    hands.add(batch.joints[:, order] * axes, batch.vertices * axes)
            return tuple(submission_paths(out))
        case "dexycb":
            path, index = out / f"{manifest.split}.txt", manifest.flags["index"]
            with dexycb_results(path, count) as results:
                for batch in placed:
                    results.add(index[batch.rows], batch.joints)
            return (path,)
        case "keypoints_2d":
            path = out / f"{manifest.split}.json"
            with keypoints_2d(path, count) as points:
                for batch in placed:
                    points.add(batch.joints_2d)
            return (path,)
