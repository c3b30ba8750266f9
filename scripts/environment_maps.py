"""Make the shipped panoramas from a folder of environment maps.

    python -m scripts.environment_maps FOLDER [--out src/hand_pipeline/assets/environments]

Reads every *.exr of the folder (equirectangular, RGB) with the package OpenEXR (BSD-3-Clause),
which nothing else here needs: `pip install OpenEXR`. OpenCV's wheel is built without EXR. Each map
is scaled to 512 x 256 and written as a JPEG, and the light beyond its white to one small npz
(`environment.encode`).
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from hand_pipeline.data.synthetic.environment import encode
from hand_pipeline.files import atomic_write

SIZE = (512, 256)
QUALITY = 93


def main() -> None:
    """Convert all maps of the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("src/hand_pipeline/assets/environments"))
    arguments = parser.parse_args()
    found = sorted(arguments.folder.glob("*.exr"))
    if not found:
        raise SystemExit(f"no .exr file in {arguments.folder}; give a folder of them")
    beyond: dict[str, np.ndarray] = {}
    for path in found:
        shown, beyond[path.stem] = encode(read_exr(path))
        with atomic_write(arguments.out / f"{path.stem}.jpg") as file:
            Image.fromarray(shown).save(file, "JPEG", quality=QUALITY)
        print(path.stem)
    with atomic_write(arguments.out / "beyond_white.npz") as file, file.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **beyond)


def read_exr(path: Path) -> np.ndarray:
    """Radiance, linear RGB, 256 x 512."""
    try:
        import OpenEXR
    except ImportError as error:
        raise SystemExit("the package OpenEXR is missing: pip install OpenEXR") from error
    pixels = OpenEXR.File(str(path)).channels()["RGB"].pixels[..., :3].astype(np.float32)
    pixels = np.nan_to_num(pixels, nan=0.0, posinf=65504.0, neginf=0.0)
    return _calm(np.maximum(cv2.resize(pixels, SIZE, interpolation=cv2.INTER_AREA), 0))


def _calm(pixels: np.ndarray) -> np.ndarray:
    """Give suns and lamps their surroundings' colour: compression has made them ring in one."""
    level = pixels.mean(-1, keepdims=True)
    blurred = cv2.GaussianBlur(pixels, (0, 0), 2.5)
    tinted = level * blurred / np.maximum(blurred.mean(-1, keepdims=True), 1e-6)
    return np.where(level > 20 * level.mean(), tinted, pixels)


if __name__ == "__main__":
    main()
