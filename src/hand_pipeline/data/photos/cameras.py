"""The camera of a photo: given, in a file of cameras, in the photo's EXIF, or guessed."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from PIL import ExifTags, Image
from torch import Tensor

from hand_pipeline.geometry.camera import default_intrinsics

Source = Literal["given", "file", "exif", "guess"]
OTHERS = "*"
"""Of a file of cameras: that of every photo which it does not name."""
_FILM_DIAGONAL = math.hypot(36, 24)  # mm; CIPA DCG-001 takes the equivalent by the diagonal
_SHORTEST, _LONGEST = 0.2, 50.0  # focal lengths in diagonals that a real lens can have


class PhotoCamera(NamedTuple):
    """A photo's camera, and where it comes from.

    Attributes:
        intrinsics: px, left and top edge 0.
        source: `given` by the user for all, in the `file` of cameras, from the photo's `exif`, or a
            `guess`, with which distances are rough.
    """

    intrinsics: Float[Tensor, "3 3"]
    source: Source


@dataclass(frozen=True)
class Cameras:
    """Which camera each photo has.

    Attributes:
        focal: px, of all photos, the principal point in their centres; None: not known.
        intrinsics: of all photos; counts before `focal`.
        by_name: of single photos, by their names; `OTHERS` of the rest. They count before both.
    """

    focal: float | None = None
    intrinsics: Float[Tensor, "3 3"] | None = None
    by_name: Mapping[str, Float[Tensor, "3 3"]] = field(default_factory=dict)

    def of(self, path: Path | None, name: str, size: tuple[int, int]) -> PhotoCamera:
        """The camera of a photo.

        Args:
            path: where its EXIF is looked for; None: there is no file.
            name: relative to the folder that is worked on.
            size: width and height of the upright photo, px.
        """
        for key in (name, name.rpartition("/")[2], OTHERS):
            if key in self.by_name:
                return PhotoCamera(self.by_name[key], "file")
        if self.intrinsics is not None:
            return PhotoCamera(self.intrinsics, "given")
        if self.focal is not None:
            return PhotoCamera(default_intrinsics(*size, self.focal), "given")
        focal = None if path is None else exif_focal(path, size)
        return PhotoCamera(default_intrinsics(*size, focal), "guess" if focal is None else "exif")


def exif_focal(path: Path, size: tuple[int, int]) -> float | None:
    """Focal length of a photo, px, from the 35 mm equivalent in its EXIF.

    None where there is none, or one that no lens has. It is of the picture as it was taken: of a
    part that was cut out later it is too short by as much.

    Args:
        path: of the photo.
        size: width and height, px.
    """
    try:
        with Image.open(path) as image:  # reads the header alone
            millimetres = float(
                image.getexif()
                .get_ifd(ExifTags.IFD.Exif)
                .get(ExifTags.Base.FocalLengthIn35mmFilm, 0)
            )
    except (OSError, ValueError, SyntaxError, TypeError, ZeroDivisionError):
        return None  # the photo has been read by then: only its metadata is odd
    diagonals = millimetres / _FILM_DIAGONAL
    return diagonals * math.hypot(*size) if _SHORTEST <= diagonals <= _LONGEST else None


def intrinsics_of(values: Any, what: str) -> Float[Tensor, "3 3"]:
    """A camera matrix of (fx, fy, cx, cy) or of its three rows.

    Raises:
        ValueError: `what` is neither, or has a focal length that is not positive.
    """
    try:
        given = torch.tensor(values, dtype=torch.float32)
    except (TypeError, ValueError):
        given = torch.empty(0)
    if given.shape == (4,):
        fx, fy, cx, cy = given.tolist()
        given = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
    right = given.shape == (3, 3) and bool(given.isfinite().all())
    if not right or given[2].tolist() != [0, 0, 1] or given[0, 0] <= 0 or given[1, 1] <= 0:
        raise ValueError(
            f"{what}: expected fx, fy, cx, cy in px, or the three rows of a camera matrix with "
            f"positive focal lengths and (0, 0, 1) as the last, got {values}"
        )
    return given


def read_cameras(path: Path) -> dict[str, Float[Tensor, "3 3"]]:
    """Cameras by photo, from JSON: `{"a.jpg": [fx, fy, cx, cy], "*": [[...], [...], [0, 0, 1]]}`.

    Raises:
        ValueError: the file is no such JSON.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON file of cameras: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(
            f'{path}: expected cameras by file name, {{"a.jpg": [fx, fy, cx, cy]}}, got a '
            f"{type(content).__name__}"
        )
    return {name: intrinsics_of(values, f"{path}, {name}") for name, values in content.items()}
