"""Long JSON lists of numbers, read in pieces: FreiHAND's vertices would be gigabytes of objects."""

import json
import math
import warnings
from pathlib import Path
from typing import IO

import numpy as np

_PIECE = 1 << 23  # bytes read at once
_BLANK = b" \t\r\n"
_NUMBER = b"0123456789+-.eENaInfity"  # also NaN and Infinity


def read_rows(
    path: Path, shape: tuple[int, ...], dtype: type[np.floating] = np.float32
) -> np.ndarray:
    """A JSON file that holds one list of equal nested lists of numbers.

    Args:
        path: the file.
        shape: of each row; () for a list of plain numbers.
        dtype: of the result.

    Returns:
        One row each, shape (rows, *shape). May hold NaN where the file says NaN.

    Raises:
        ValueError: the file is cut short, no JSON, ragged, or has rows of another shape.
    """
    try:
        with path.open("rb") as handle:
            rows = _parse(handle, shape, dtype)
    except ValueError:  # numpy's, of something between the commas that is no number
        rows = None
    if rows is None:
        raise ValueError(_what_is_wrong(path, shape))
    return rows


def _parse(
    handle: IO[bytes], shape: tuple[int, ...], dtype: type[np.floating]
) -> np.ndarray | None:
    """The rows, or None if anything is not as it should be."""
    between = b"]" * len(shape) + b","  # a row's end, and the comma before the next
    row = _outline(shape)
    found: list[np.ndarray] = []
    rest, opened = b"", False
    while piece := handle.read(_PIECE):
        rest += piece.translate(None, _BLANK)
        if not opened and rest:
            if not rest.startswith(b"["):
                return None
            opened, rest = True, b"," + rest[1:]  # now every row begins with a comma
        cut = rest.rfind(between) + len(shape)
        if cut <= len(shape):  # no row is whole yet
            continue
        rows = _rows_of(rest[:cut], row, shape, dtype)
        if rows is None:
            return None
        found.append(rows)
        rest = rest[cut:]
    if not opened or not rest.endswith(b"]"):
        return None
    rest = rest[:-1]
    if rest != b"," or found:  # "[]" has become a comma alone
        rows = _rows_of(rest, row, shape, dtype)
        if rows is None:
            return None
        found.append(rows)
    return np.concatenate(found) if found else np.empty((0, *shape), dtype)


def _outline(shape: tuple[int, ...]) -> bytes:
    """A row's brackets and commas."""
    outline = b""
    for size in reversed(shape):
        outline = b"[" + b",".join([outline] * size) + b"]"
    return outline


def _rows_of(
    text: bytes, row: bytes, shape: tuple[int, ...], dtype: type[np.floating]
) -> np.ndarray | None:
    """Rows, each after a comma; None unless every bracket and comma is where it should be."""
    outline = text.translate(None, _NUMBER)
    count = len(outline) // (1 + len(row))
    if outline != (b"," + row) * count:
        return None
    plain = text.translate(None, b"[]").strip(b",")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # older numpy only warns of it
            values = np.fromstring(plain, dtype=dtype, sep=",") if plain else np.empty(0, dtype)
    except (ValueError, DeprecationWarning):  # text that is no number
        return None
    return values.reshape(count, *shape) if values.size == count * math.prod(shape) else None


def _what_is_wrong(path: Path, shape: tuple[int, ...]) -> str:
    """Read the slow way, to say what the fast way stumbled over."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        return f"{path} is cut short or no JSON ({error}); copy it again"
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        return f"{path} is ragged: expected {shape} numbers a row ({error})"
    if not array.ndim:
        return f"{path}: expected a list of rows, got {values!r:.40}"
    if array.shape[1:] == shape:
        return f"{path}: expected {shape} numbers a row, some are null, text or true or false"
    return f"{path}: expected {shape} numbers a row, got {array.shape[1:]}"
