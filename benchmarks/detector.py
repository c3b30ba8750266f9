"""Photos a second of the whole collect path against a bare detector loop on the same cores.

The bare loop decodes a photo and calls MediaPipe once on it, nothing more, in as many processes
as the collect path has workers. Both are timed whole, from starting the processes to the last
result; both see the same photos, in alternating runs, and the best run of each counts.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

from hand_pipeline.data.collect import CollectConfig, collect_crops
from hand_pipeline.data.detector import quiet_native_logs
from hand_pipeline.data.detector_model import resolve_model
from hand_pipeline.data.photos import find_photos


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


def time_bare(paths: list[Path], model: Path, workers: int) -> tuple[float, int]:
    start = time.perf_counter()
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        parts = [paths[number::workers] for number in range(workers)]
        found = sum(pool.map(bare_loop, parts, [model] * workers))
    return time.perf_counter() - start, found


def time_collect(folder: Path, cfg: CollectConfig, workers: int) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        result = collect_crops([folder], Path(out, "crops"), cfg, workers, progress=False)
        return time.perf_counter() - start, int(result.summary["with_hand"]["all"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=600, help="photos drawn from the folder")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    model = resolve_model()
    photos = find_photos([arguments.photos])
    chosen = random.Random(0).sample(photos, min(arguments.count, len(photos)))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, photo in enumerate(chosen):
            paths.append(Path(folder, f"{number:06d}{photo.path.suffix}"))
            paths[-1].symlink_to(photo.path.resolve())
        cfg = CollectConfig(model_path=model)
        bare, collect = [], []
        for _ in range(arguments.repeats):
            bare.append(time_bare(paths, model, arguments.workers))
            collect.append(time_collect(Path(folder), cfg, arguments.workers))
    count = len(paths)
    for name, runs in (("bare loop", bare), ("collect", collect)):
        seconds, found = min(runs)
        rates = ", ".join(f"{count / run[0]:.1f}" for run in runs)
        print(f"{name:10s} {count / seconds:7.1f} photos/s (runs: {rates}), "
              f"hands in {found} of {count}")  # fmt: skip
    ratio = min(bare)[0] / min(collect)[0]
    print(f"collect / bare loop, {arguments.workers} processes each: {ratio:.2f} (wanted: >= 0.9)")


if __name__ == "__main__":
    main()
