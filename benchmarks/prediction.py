"""From the command to the first hand, and a photo's time after it, beside MediaPipe alone.

    PYTHONPATH=src python benchmarks/prediction.py [--photos DIR] [--method lifter] [--runs 3]

`predict` runs as a user starts it, in a process of its own: interpreter, imports, model, detector,
meshes and pictures. The reference is a script in a process of its own that does nothing but load
MediaPipe and call it on the same photos. Both are timed by when their results lie on the disk; the
best of the runs counts. Goals: 5 s to the first result, 1 s for each further photo.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision
from PIL import Image

from hand_pipeline.data.photos.detector_model import resolve_model

FIRST, FURTHER = 5.0, 1.0
PHOTOS = Path(__file__).parents[1] / "tests" / "photos"


class Times(NamedTuple):
    """Seconds to the first result, and of each further photo."""

    first: float
    further: float


def watch(command: list[str], results: Path, pattern: str) -> Times:
    """Run a command that leaves a file a photo."""
    began = time.time()
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{run.stderr}")
    written = sorted(file.stat().st_mtime for file in results.rglob(pattern))
    if not written:
        raise SystemExit(f"{' '.join(command)} found no hand in any photo")
    further = (written[-1] - written[0]) / max(1, len(written) - 1)
    return Times(written[0] - began, further)


def alone(photos: Path, out: Path) -> None:
    """MediaPipe on each photo, and nothing else; a file for each hand found."""
    options = vision.HandLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(resolve_model(None))), num_hands=4
    )
    with vision.HandLandmarker.create_from_options(options) as landmarker:
        for path in sorted(photos.iterdir()):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            landmarker.detect(mp.Image(mp.ImageFormat.SRGB, pixels))
            (out / f"{path.stem}.found").touch()


def best(command: list[str], pattern: str, runs: int) -> Times:
    """Least of each time over some runs; `OUT` in the command is where results go."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as out:
            here = [part.replace("OUT", out) for part in command]
            found.append(watch(here, Path(out), pattern))
    return Times(min(t.first for t in found), min(t.further for t in found))


def readable(folder: Path, count: int | None, into: Path) -> int:
    """Link the photos that Pillow can open into a folder; their number."""
    linked = 0
    for file in sorted(folder.iterdir()):
        try:
            with Image.open(file) as image:
                image.load()
        except (OSError, SyntaxError):
            continue
        if count is None or linked < count:
            os.symlink(file.resolve(), into / file.name)
            linked += 1
    return linked


def main() -> int:
    """Print the times of both; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of photos")
    parser.add_argument("--count", type=int, help="so many of them; default: all")
    parser.add_argument("--method", help="of predict; default: its own")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.alone:
        alone(given.photos, given.alone)
        return 0
    with tempfile.TemporaryDirectory() as chosen:
        count = readable(given.photos, given.count, Path(chosen))
        predict = [sys.executable, "-m", "hand_pipeline", "predict", chosen, "--out", "OUT"]
        if given.method:
            predict += ["--method", given.method]
        ours = best(predict, "*.json", given.runs)
        script = [sys.executable, __file__, "--photos", chosen, "--alone", "OUT"]
        bare = best(script, "*.found", given.runs)
    print(f"{count} photos, {os.cpu_count()} cores, best of {given.runs}")
    print(f"  MediaPipe alone: first {bare.first:5.2f} s, each further {bare.further:5.3f} s")
    print(f"  predict:         first {ours.first:5.2f} s, each further {ours.further:5.3f} s")
    ratios = ours.first / bare.first, ours.further / max(bare.further, 1e-9)
    print(f"  ratio:           first {ratios[0]:5.2f},   each further {ratios[1]:5.2f}")
    met = ours.first <= FIRST and ours.further <= FURTHER
    print(f"goals {FIRST:g} s and {FURTHER:g} s: {'met' if met else 'missed'}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
