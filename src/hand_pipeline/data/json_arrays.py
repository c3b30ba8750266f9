"""Long JSON lists of numbers, read in pieces: FreiHAND's vertices would be gigabytes of objects."""

import json
import math
from pathlib import Path
from typing import IO

import numpy as np

_PIECE = 1 << 23  # bytes read at once
_BLANK = b" \t\r\n"


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
    end = b"]" * len(shape) or b","
    brackets = sum(math.prod(shape[:i]) for i in range(len(shape)))  # "[" of a row
    found: list[np.ndarray] = []
    opened = numbers = 0
    rest = b""
    while piece := handle.read(_PIECE):
        rest += piece.translate(None, _BLANK)
        cut = rest.rfind(end) + len(end)
        if cut < len(end):
            continue
        part, rest = rest[:cut], rest[cut:]
        opened += part.count(b"[")
        found.append(_numbers(part, dtype))
        numbers += len(found[-1])
    opened += rest.count(b"[")
    found.append(_numbers(rest, dtype))
    numbers += len(found[-1])
    rows, left_over = divmod(numbers, math.prod(shape))
    whole = rest.endswith(b"]") or (not rest and bool(shape))
    if left_over or opened != 1 + rows * brackets or not whole:
        return None
    return np.concatenate(found).reshape(rows, *shape)


def _numbers(text: bytes, dtype: type[np.floating]) -> np.ndarray:
    plain = text.translate(None, b"[]").strip(b",")
    return np.fromstring(plain, dtype=dtype, sep=",") if plain else np.empty(0, dtype)


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
    return f"{path}: expected {shape} numbers a row, got {array.shape[1:]}"
