"""Does MediaPipe take our synthetic hands for hands? Share found, and its landmarks' error.

Usage: python benchmarks/synthetic_realism.py [--count 200] [--size 224] [--sheet FOLDER]
Two sets: natural poses (fingers bent by less than 50 degrees on average at the middle joint,
nothing in front), and hands as training sees them (any pose, occluders). The error is the mean over
21 joints, divided by the longer side of the true joints' box. All are right hands: called so by
the detector, and by `predict`, which tries both sides where the detector is unsure; of the unsure
ones alone, too. Prints a table and one line of JSON;
exit status 1 if fewer than 95 % of natural poses are found or their median error exceeds 5 %.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from hand_pipeline.data.photos.cropping import CropConfig
from hand_pipeline.data.photos.detector import Detection, DetectorConfig, HandDetector
from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.data.synthetic.hands import draw_hand, pose_block
from hand_pipeline.data.synthetic.scene import painter
from hand_pipeline.data.synthetic.write import BLOCK, Block
from hand_pipeline.evaluation.reconstruct import ONE_LOOK, PhotoReconstructor
from hand_pipeline.geometry.camera import default_intrinsics
from hand_pipeline.methods import untrained_method
from hand_pipeline.training.method import Reconstructor

MIN_FOUND, MAX_ERROR = 0.95, 0.05
MIDDLE_JOINTS = [1, 5, 9, 13]  # among the 21 angles


def natural_indices(config: SyntheticConfig, count: int) -> list[int]:
    """The first `count` hands whose fingers are not strongly bent."""
    chosen: list[int] = []
    block = 0
    while len(chosen) < count:
        generators = [
            np.random.default_rng([config.seed, 0, block * BLOCK + row, 0]) for row in range(BLOCK)
        ]
        hands, *_ = painter(None).pose(
            generators, config.beta_std, config.beta_limit, config.turns, config.real_poses
        )
        bent = hands.angles[:, MIDDLE_JOINTS].mean(1)
        chosen += [block * BLOCK + int(row) for row in np.flatnonzero(bent < 50)]
        block += 1
    return chosen[:count]


class Seen:
    """A detector that has looked already."""

    def __init__(self, hand: Detection) -> None:
        self.cfg, self.hand = DetectorConfig(), hand

    def __call__(self, picture: np.ndarray) -> list[Detection]:
        """The hand."""
        return [self.hand]


def right_by_fit(picture: np.ndarray, hand: Detection, model: Reconstructor) -> bool:
    """Whether `predict` takes it for a right hand."""
    camera = default_intrinsics(picture.shape[1], picture.shape[0])
    [[placed]] = PhotoReconstructor(Seen(hand), model, CropConfig())(picture, camera)
    return placed.detection.handedness == "right"


def measure(
    config: SyntheticConfig, indices: list[int], detector: HandDetector, sheet: Path | None
) -> dict[str, Any]:
    errors, tiles = [], []
    right, fitted, unsure = [], [], []  # of the hands found
    model = untrained_method("mediapipe")
    assert isinstance(model, Reconstructor)
    for block in range(max(indices) // BLOCK + 1):
        wanted = [i for i in indices if i // BLOCK == block]
        if not wanted:
            continue
        first = block * BLOCK
        placements, _ = pose_block(config, "training", Block(first, first + BLOCK))
        for index in wanted:
            placement = placements[index - first]
            picture, _ = draw_hand(config, None, "training", index, placement)
            projected = placement.joints @ placement.intrinsics.T
            truth = projected[:, :2] / projected[:, 2:]
            extent = np.ptp(truth, axis=0).max()
            found = detector(picture)
            offsets = [np.linalg.norm(hand.landmarks_2d - truth, axis=1) for hand in found]
            best = int(np.argmin([o.mean() for o in offsets])) if offsets else -1
            # a find somewhere else in the picture is no find
            hit = best >= 0 and offsets[best].mean() < 0.5 * extent
            errors.append(offsets[best].mean() / extent if hit else np.nan)
            if hit:
                hand = found[best]
                right.append(hand.handedness == "right")
                unsure.append(hand.score < ONE_LOOK.both_sides_below)
                fitted.append(right_by_fit(picture, hand, model) if unsure[-1] else right[-1])
            tiles.append(_tile(picture, truth, found[best].landmarks_2d if hit else None))
    if sheet is not None:
        _save(tiles[:48], sheet)
    values = np.array(errors)
    seen = np.isfinite(values)
    called, fit, doubted = (np.array(flags, dtype=bool) for flags in (right, fitted, unsure))
    return {
        "count": len(values),
        "found": round(float(seen.mean()), 4),
        "median_error": round(float(np.nanmedian(values)), 4),
        "mean_error": round(float(np.nanmean(values)), 4),
        "p90_error": round(float(np.nanpercentile(values, 90)), 4),
        "called_right": round(float(called.mean()), 4),
        "right_by_fit": round(float(fit.mean()), 4),
        "unsure": int(doubted.sum()),
        "of_these_right": [round(float(each[doubted].mean()), 4) for each in (called, fit)],
    }


def _tile(picture: np.ndarray, truth: np.ndarray, found: np.ndarray | None) -> Image.Image:
    tile = Image.fromarray(picture)
    draw = ImageDraw.Draw(tile)
    for x, y in truth:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=(0, 220, 0))
    for x, y in [] if found is None else found:
        draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=(255, 0, 0))
    if found is None:
        draw.rectangle([0, 0, tile.width - 1, tile.height - 1], outline=(255, 0, 0), width=4)
    return tile


def _save(tiles: list[Image.Image], path: Path, columns: int = 8) -> None:
    side = tiles[0].width
    sheet = Image.new("RGB", (columns * side, -(-len(tiles) // columns) * side))
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * side, index // columns * side))
    sheet.save(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--passes", type=int, default=3, help="the detector's tries a picture")
    parser.add_argument("--sheet", type=Path, help="folder for pictures of what was found")
    arguments = parser.parse_args()
    detector = HandDetector(DetectorConfig(passes=arguments.passes))
    settings = {"image_size": arguments.size, "seed": arguments.seed}
    plain = SyntheticConfig(**settings, occluder_probability=0.0)
    sets = {
        "natural": (plain, natural_indices(plain, arguments.count)),
        "as_trained": (SyntheticConfig(**settings), list(range(arguments.count))),
    }
    results = {}
    for name, (config, indices) in sets.items():
        sheet = arguments.sheet and arguments.sheet / f"{name}.png"
        results[name] = measure(config, indices, detector, sheet)
    columns = list(results["natural"])
    print(f"{'set':<12}" + "".join(f"{c:>18}" for c in columns))
    for name, row in results.items():
        print(f"{name:<12}" + "".join(f"{row[c]!s:>18}" for c in columns))
    print(json.dumps({"size": arguments.size, "passes": arguments.passes} | results))
    natural = results["natural"]
    return int(natural["found"] < MIN_FOUND or natural["median_error"] > MAX_ERROR)


if __name__ == "__main__":
    sys.exit(main())
