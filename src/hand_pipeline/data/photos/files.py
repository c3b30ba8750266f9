"""Photos of unknown origin: finding them, and decoding them or saying why that cannot be done."""

import csv
import io
import os
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

PHOTO_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".heic", ".heif", ".avif"}
    | {".tif", ".tiff", ".bmp", ".gif"}
)
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"})
MANIFEST_NAME = "manifest.csv"

Reason = Literal[
    "empty", "not_an_image", "truncated", "unreadable", "too_small", "too_large", "crashed"
]
REASONS: tuple[Reason, ...] = get_args(Reason)
_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"II*\0", b"MM\0*", b"BM", b"GIF8")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")  # ISO/IEC 23008-12


class BadPhoto(Exception):
    """A file that cannot be used, with the reason code and the library's own words."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason: Reason = reason
        self.detail = detail


class NoPhotosError(ValueError):
    """A photo folder is missing, is no folder, or holds no photo."""


@dataclass(frozen=True)
class Photo:
    """A file that may be a photo.

    Attributes:
        path: where it lies.
        name: its path relative to the folder it was found in, with `/`.
        set_name: which set of photos it belongs to.
        group: subject or take; photos of one group must never be split between train and test.
    """

    path: Path
    name: str
    set_name: str
    group: str


Folders = Sequence[Path | str] | Mapping[str, Path | str]
"""Folders of photos, or sources: folders by the name that their photos' set shall have."""


def find_photos(folders: Folders) -> list[Photo]:
    """All photos below some folders, by their file ending, in the order of their names.

    Linked folders are followed (each real folder once), hidden files and folders left out. Any
    folder may hold a `manifest.csv` with the columns file (relative to it), set and group (more
    are ignored) that says what belongs together; the nearest one above a photo that names it
    counts. For other photos the set is the first folder below the given one (or the given one, if
    they lie in it) and the group the path of the folder they lie in. Of a source, the set is its
    name, which also stands before its photos' names and groups.

    Raises:
        NoPhotosError: a folder is missing or holds no photo.
        ValueError: a manifest lacks a column.
    """
    if isinstance(folders, Mapping):
        return [
            Photo(p.path, f"{source}/{p.name}", source, f"{source}/{p.group}")
            for source, folder in folders.items()
            for p in find_photos([folder])
        ]
    photos: list[Photo] = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise NoPhotosError(f"the photo folder {folder} {what}; give the path of a folder")
        labels: dict[Path, dict[str, tuple[str, str]]] = {}
        found = [_describe(folder, path, labels) for path in sorted(_walk(folder))]
        if not found:
            raise NoPhotosError(
                f"the photo folder {folder} holds no photo, nor do its subfolders; photos end in "
                f"{', '.join(sorted(PHOTO_SUFFIXES))}"
            )
        photos += found
    return photos


def named_folders(sources: Mapping[str, Path | str], key: str) -> dict[str, Path]:
    """Sources as paths, if every folder is there.

    Args:
        sources: folders by name.
        key: what holds them in the configuration, for the message.

    Raises:
        NoPhotosError: says which are missing, and which keys to change.
    """
    folders = {name: Path(folder) for name, folder in sources.items()}
    missing = [
        f"{folder} ({key}.{name})" for name, folder in folders.items() if not folder.is_dir()
    ]
    if missing:
        raise NoPhotosError(
            f"no folder {', no folder '.join(missing)}; put the photos or a link there, change the "
            "key in brackets to where they are, or remove it to go without this source"
        )
    return folders


def _walk(folder: Path) -> Iterator[Path]:
    seen: set[str] = set()
    for here, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link to a folder above, or two links to the same one
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in PHOTO_SUFFIXES:
                yield Path(here, name)


def _read_manifest(path: Path) -> dict[str, tuple[str, str]]:
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as handle:
        reader = csv.DictReader(handle)
        if missing := {"file", "set", "group"} - set(reader.fieldnames or ()):
            raise ValueError(
                f"{path} lacks the column(s) {', '.join(sorted(missing))}; a photo manifest has "
                "file, set and group (remove the file to go by folders)"
            )
        return {row["file"]: (row["set"], row["group"]) for row in reader}


def _describe(folder: Path, path: Path, labels: dict[Path, dict[str, tuple[str, str]]]) -> Photo:
    """Name a photo's set and group; `labels` keeps the manifests read so far, by their folder."""
    name = path.relative_to(folder)
    for parent in path.parents:
        if parent not in labels:
            labels[parent] = _read_manifest(parent / MANIFEST_NAME)
        if label := labels[parent].get(path.relative_to(parent).as_posix()):
            return Photo(path, name.as_posix(), *label)
        if parent == folder:
            break
    top = name.parts[0] if len(name.parts) > 1 else folder.resolve().name
    return Photo(path, name.as_posix(), top, name.parent.as_posix())


def read_photo(path: Path | str) -> bytes:
    """The bytes of a photo's file, or of one in a tar (named as in `tar_members`).

    Raises:
        BadPhoto: the file is empty or cannot be read.
    """
    try:
        content = _bytes_of(path)
    except EOFError as error:
        raise BadPhoto("truncated", str(error)) from error
    except OSError as error:
        raise BadPhoto("unreadable", str(error)) from error
    if not content:
        raise BadPhoto("empty", "the file has no bytes")
    return content


def _bytes_of(path: Path | str) -> bytes:
    if ".tar" in str(path):
        from hand_pipeline.data.shards.tar_members import is_member, read_member  # few are in one

        if is_member(path):
            return read_member(path)
    return Path(path).read_bytes()


def decode_photo(
    content: bytes, min_side: int = 32, max_pixels: int = 100_000_000
) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a photo to upright RGB: EXIF orientation applied, any mode converted.

    Transparent pixels come out white. Grey of more than 8 bits is stretched from its darkest to its
    brightest value: a sensor's 12 bits in 16 would else be nearly black. Of several pictures (GIF,
    TIFF, a phone's burst) the first counts.

    Args:
        content: bytes of a JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP or GIF file.
        min_side: fewest pixels of the shorter side.
        max_pixels: most pixels; larger files are refused before they are decoded, since a small
            file can unpack to more than the memory holds.

    Raises:
        BadPhoto: why it cannot be used.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own size warning and odd metadata
            with Image.open(io.BytesIO(content), formats=_formats(content)) as image:
                _check_size(image.size, min_side, max_pixels)
                return upright_rgb(image)
    except UnidentifiedImageError as error:
        reason: Reason = "unreadable" if content.startswith(_MAGIC) else "not_an_image"
        raise BadPhoto(reason, f"no header of {', '.join(_FORMATS)} or HEIF") from error
    except Image.DecompressionBombError as error:
        raise BadPhoto("too_large", str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, OverflowError) as error:
        cut_off = "truncated" in str(error).lower() or isinstance(error, EOFError)
        raise BadPhoto("truncated" if cut_off else "unreadable", str(error)) from error


def upright_rgb(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels of a picture: EXIF orientation applied, any mode converted (`decode_photo`)."""
    return np.array(_to_rgb(ImageOps.exif_transpose(image)))


def load_photo(
    path: Path | str, min_side: int = 32, max_pixels: int = 100_000_000
) -> UInt8[np.ndarray, "height width 3"]:
    """Read and decode a photo; see `decode_photo`."""
    return decode_photo(read_photo(path), min_side, max_pixels)


def _formats(content: bytes) -> tuple[str, ...]:
    """Which of Pillow's readers may try. HEIC needs a package, which is loaded only for it."""
    if content[4:8] != b"ftyp" or content[8:12] not in _HEIF_BRANDS:
        return _FORMATS
    from pi_heif import register_heif_opener

    register_heif_opener()
    return (*_FORMATS, "HEIF")


def _check_size(size: tuple[int, int], min_side: int, max_pixels: int) -> None:
    width, height = size
    if min(size) < min_side:
        raise BadPhoto("too_small", f"{width}x{height} pixels, fewer than {min_side} on a side")
    if width * height > max_pixels:
        raise BadPhoto("too_large", f"{width}x{height} pixels, more than {max_pixels} in all")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image).astype(np.float64))
        values -= values.min()
        values *= 255 / max(values.max(), 1e-9)
        return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        paper = Image.new("RGBA", coloured.size, "white")
        return Image.alpha_composite(paper, coloured).convert("RGB")
    return image.convert("RGB")
