"""Whether photos can be read."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

from tqdm import tqdm

from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.data.photos.files import BadPhoto, load_photo

Extent = Literal["all", "sample", "none"]
"""Photos that are opened: all, some, or none."""


class PhotoCheck(NamedTuple):
    """Photos of a split.

    Attributes:
        named: distinct photos that the labels name.
        opened: how many were read.
        unreadable: those of them that cannot be, with the reason.
        sizes: width and height, px, of the others.
    """

    named: int
    opened: int
    unreadable: dict[str, str]
    sizes: dict[str, tuple[int, int]]


def check_photos(manifest: HandManifest, rows: Sequence[int], extent: Extent) -> PhotoCheck | None:
    """Open some of the photos of a manifest.

    Args:
        manifest: the labels.
        rows: hands whose photos are opened where `extent` is "sample".
        extent: how many are opened; "none" gives None.
    """
    if extent == "none":
        return None
    names = list(dict.fromkeys(manifest.images))
    found = names
    if extent == "sample":
        found = list(dict.fromkeys(manifest.images[row] for row in rows))

    def open_photo(name: str) -> tuple[int, int] | str:
        try:
            height, width = load_photo(manifest.root / name).shape[:2]
        except BadPhoto as error:
            return f"{error.reason}: {error.detail}"
        side = manifest.image_side
        if side is not None and (width, height) != (side, side):
            return f"is {width} x {height} px, the set's are {side} x {side}"
        return width, height

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        bar = tqdm(
            pool.map(open_photo, found), desc=f"{manifest.split}: photos", unit="photo",
            total=len(found), leave=False,
            disable=None,  # a bar only on a terminal
        )  # fmt: skip
        outcomes = dict(zip(found, bar, strict=True))
    return PhotoCheck(
        named=len(names),
        opened=len(found),
        unreadable={name: value for name, value in outcomes.items() if isinstance(value, str)},
        sizes={name: value for name, value in outcomes.items() if not isinstance(value, str)},
    )
