"""Photos a second of the whole collect path against a bare detector loop on the same cores.

The bare loop decodes a photo and calls MediaPipe once on it, nothing more: as one process, as a
script would, and as many processes as the collect path has workers. All are timed whole, from
starting the processes to the last result; all see the same photos, and the best run of each
counts. Processor time is given too: where other programs share the cores, it says more than the
clock.
"""

import argparse
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

from hand_pipeline.data.photos.collect import CollectConfig, collect_crops
from hand_pipeline.data.photos.detector import quiet_native_logs
from hand_pipeline.data.photos.detector_model import resolve_model
from hand_pipeline.data.photos.files import Photo, find_photos
from hand_pipeline.data.synthetic.config import PhotosConfig
from hand_pipeline.data.synthetic.photos import generate_photos


def bare_loop(paths: list[Path], model: Path) -> int:
    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(model)), num_hands=2
    )
    found = 0
    with quiet_native_logs(), vision.HandLandmarker.create_from_options(options) as landmarker:
        for path in paths:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            result = landmarker.detect(mp.Image(mp.ImageFormat.SRGB, pixels))
            found += bool(result.hand_landmarks)
    return found


class Run(NamedTuple):
    seconds: float
    processor_seconds: float
    found: int


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def timed(work: Callable[[], int]) -> Run:
    start, used = time.perf_counter(), processor_seconds()
    found = work()
    return Run(time.perf_counter() - start, processor_seconds() - used, found)


def run_bare(paths: list[Path], model: Path, workers: int) -> int:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        parts = [paths[number::workers] for number in range(workers)]
        return sum(pool.map(bare_loop, parts, [model] * workers))


def run_collect(folder: Path, cfg: CollectConfig, workers: int) -> int:
    with tempfile.TemporaryDirectory() as out:
        result = collect_crops([folder], Path(out, "crops"), cfg, workers, progress=False)
        return int(result.summary["with_hand"]["all"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "photos", type=Path, nargs="?", help="folder of photos; default: synthetic ones, drawn now"
    )
    parser.add_argument("--count", type=int, default=600, help="photos drawn from the folder")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    model = resolve_model()
    with tempfile.TemporaryDirectory() as drawn:
        folder = arguments.photos
        if folder is None:
            folder = generate_photos(PhotosConfig(count=200), Path(drawn), arguments.workers)
        compare(find_photos([folder]), arguments, model)


def compare(photos: list[Photo], arguments: argparse.Namespace, model: Path) -> None:
    chosen = random.Random(0).sample(photos, min(arguments.count, len(photos)))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, photo in enumerate(chosen):
            paths.append(Path(folder, f"{number:06d}{photo.path.suffix}"))
            paths[-1].symlink_to(photo.path.resolve())
        cfg = CollectConfig(model_path=model)
        workers = arguments.workers
        alone = [timed(lambda: run_bare(paths, model, 1))]
        bare, collect = [], []
        for _ in range(arguments.repeats):
            bare.append(timed(lambda: run_bare(paths, model, workers)))
            collect.append(timed(lambda: run_collect(Path(folder), cfg, workers)))
    count = len(paths)
    names = ("one loop", "bare loops", "collect")
    for name, runs in zip(names, (alone, bare, collect), strict=True):
        best = min(runs)
        rates = ", ".join(f"{count / run.seconds:.1f}" for run in runs)
        print(
            f"{name:10s} {count / best.seconds:7.1f} photos/s (runs: {rates}), "
            f"{1e3 * min(run.processor_seconds for run in runs) / count:.1f} ms of processor a "
            f"photo, hands in {best.found} of {count}"
        )
    once, many = (min(runs).seconds / min(collect).seconds for runs in (alone, bare))
    used = [min(run.processor_seconds for run in runs) for runs in (bare, collect)]
    print(f"collect ({workers} workers) / one bare loop: {once:.2f} (wanted: >= 0.9)")
    print(
        f"collect / {workers} bare loops at once: {many:.2f}, by processor time "
        f"{used[0] / used[1]:.2f}; collect finds {min(collect).found / min(bare).found:.2f} times "
        "the hands"
    )


if __name__ == "__main__":
    main()
