"""Long JSON lists of numbers, read in pieces: as Python objects they would take gigabytes.

A piece holds whole rows. Its brackets and commas are compared with those that rows of the right
shape have, its numbers go through Arrow's CSV parser, one a line: nothing that is no JSON passes,
in a sixth of `json.loads`' time. Libraries serve less well: orjson and ijson take five times as
long as this, and simdjson needs the whole text in memory, flattens ragged rows and refuses NaN.
"""

import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import csv

from hand_pipeline.data.manifest import DataSetError

_PIECE = 1 << 23  # bytes read at once
_LONGEST_ROW = 1 << 24  # bytes; text without an end of a row for so long is refused
_BLANK = b" \t\r\n"
_NUMBER = b"0123456789+-.eENaInfity"  # and Python's NaN and Infinity
_ONE_A_LINE = bytes.maketrans(b"[],\t\r\n", b"  \n   ")
_SMALL = 1 << 26  # bytes; the trouble with a file up to this size is worth a slow second look
_ANY = -1

Shape = tuple[int, ...]
Stream = IO[bytes] | io.BufferedIOBase


def read_rows(path: Path, shape: Shape, dtype: type[np.floating] = np.float32) -> np.ndarray:
    """A JSON file that holds one list of equal nested lists of numbers.

    Args:
        path: the file.
        shape: of each row; () for a list of plain numbers.
        dtype: of the result.

    Returns:
        One row each, shape (rows, *shape). May hold NaN where the file says NaN.

    Raises:
        DataSetError: the file is cut short, no JSON, ragged, or has rows of another shape.
    """
    with path.open("rb") as handle:
        try:
            return _joined(iter_rows(handle, shape, "the list"), dtype)
        except ValueError as error:
            detail = str(error)
    if path.stat().st_size <= _SMALL:
        detail = _what_is_wrong(path, shape)
    raise DataSetError(f"{path} {detail}" if detail.startswith("is ") else f"{path}: {detail}")


def read_lists(
    stream: Stream,
    shapes: Sequence[Shape],
    names: Sequence[str],
    dtype: type[np.floating] = np.float64,
) -> list[np.ndarray]:
    """JSON of the form `[list, list, ...]`, each of equal nested lists of numbers.

    Takes little more memory than its result.

    Args:
        stream: the text.
        shapes: of the rows of each list; a first -1 of two is whatever the first row has.
        names: of the lists, for messages.
        dtype: of the results.

    Raises:
        ValueError: they are not that, as in `read_rows`; says in which row of which list.
    """
    pieces = groupby(iter_lists(stream, shapes, names), key=lambda piece: piece[0])
    return [_joined((rows for _, rows in group), dtype) for _, group in pieces]


def iter_lists(
    stream: Stream, shapes: Sequence[Shape], names: Sequence[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """As `read_lists`, a piece at a time: (which list, its next rows), in memory of a piece."""
    text = _Text(stream)
    for which, (shape, name) in enumerate(zip(shapes, names)):
        text.take(b"," if which else b"[", name)
        for rows in text.rows(shape, name):
            yield which, rows
    text.take(b"]", "what follows the last list")
    text.end()


def iter_rows(stream: Stream, shape: Shape, name: str) -> Iterator[np.ndarray]:
    """As `iter_lists` for one list alone."""
    text = _Text(stream)
    yield from text.rows(shape, name)
    text.end()


def _joined(pieces: Iterator[np.ndarray], dtype: type[np.floating]) -> np.ndarray:
    whole, count = np.empty(0, dtype), 0
    for rows in pieces:
        start, count = count, count + len(rows)
        if len(whole) < count or not start:
            # In place (mremap): with parts joined at the end every number would be there twice.
            size = max(count, len(whole) + len(whole) // 8)
            whole.resize((size, *rows.shape[1:]), refcheck=False)
        whole[start:count] = rows
    whole.resize((count, *whole.shape[1:]), refcheck=False)
    return whole


class _Text:
    """The part of a text that has been read and not used yet."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._text = stream, b""

    def _more(self) -> bool:
        """Read another piece; False at the end."""
        piece = self._stream.read(_PIECE)
        self._text = (self._text + piece).lstrip(_BLANK)
        return bool(piece)

    def take(self, mark: bytes, name: str) -> None:
        """Pass over one character."""
        while not self._text:
            if not self._more():
                raise ValueError(f"is cut short, before {name}; copy it again")
        if not self._text.startswith(mark):
            near = self._text[:30].decode("ascii", "replace")
            raise ValueError(f"{name} is not as expected: {near!r} in place of {mark.decode()!r}")
        self._text = self._text[1:].lstrip(_BLANK)

    def end(self) -> None:
        """Make sure that nothing follows."""
        while not self._text and self._more():
            pass
        if self._text:
            near = self._text[:30].decode("ascii", "replace")
            raise ValueError(f"what follows the last list is not as expected: {near!r}")

    def rows(self, shape: Shape, name: str) -> Iterator[np.ndarray]:
        """The rows of a list, piece by piece; of an empty list, one empty piece."""
        self.take(b"[", name)
        seen, ended = 0, False
        while not ended:
            text, ended = self._whole_rows(len(shape), f"row {seen} of {name}")
            if ended and not text and not seen:
                yield np.empty((0, *(max(size, 0) for size in shape)))
                return
            if _ANY in shape:
                first = re.split(_closing(len(shape)), text, maxsplit=1)[0]
                shape = (first.count(b"[") - 1, *shape[1:])
            rows = _parsed(text, shape, name, seen)
            seen += len(rows)
            yield rows

    def _whole_rows(self, depth: int, where: str) -> tuple[bytes, bool]:
        """The whole rows that have been read, and whether the list ends with them."""
        while True:
            if depth and self._text.startswith(b"]"):
                return self._cut(0), True
            if found := re.search(_closing(depth + 1), self._text):
                return self._cut(found.end() - 1), True
            comma = self._text.rfind(b",")
            while comma >= 0:  # the last that follows a row
                if re.search(
                    _closing(depth) + rb"[ \t\r\n]*\Z", self._text[max(comma - 200, 0) : comma]
                ):
                    return self._cut(comma), False
                comma = self._text.rfind(b",", 0, comma)
            if len(self._text) > _LONGEST_ROW:
                raise ValueError(f"{where} is not as expected: it is longer than any row")
            if not self._more():
                raise ValueError(f"is cut short, in {where}; copy it again")

    def _cut(self, end: int) -> bytes:
        """The text before a mark; what follows the mark stays."""
        rows, self._text = self._text[:end], self._text[end + 1 :].lstrip(_BLANK)
        return rows


def _closing(depth: int) -> bytes:
    """Pattern of so many closing brackets, with blanks."""
    return rb"\][ \t\r\n]*" * (depth - 1) + rb"\]" * (depth > 0)


def _parsed(text: bytes, shape: Shape, name: str, seen: int) -> np.ndarray:
    """Rows of one shape; `seen` is the number of those before."""
    row = _marks(shape)
    marks = text.translate(None, _NUMBER + _BLANK)
    count = (len(marks) + 1) // (len(row) + 1)
    if marks != b",".join([row] * count):
        raise ValueError(_misfit(text, shape, name, seen))
    numbers = _numbers(text)
    if len(numbers) != count * math.prod(shape):
        raise ValueError(f"{name} lacks a number between two commas")
    return numbers.reshape(count, *shape)


def _misfit(text: bytes, shape: Shape, name: str, seen: int) -> str:
    """Message on the first row of another shape."""
    bodies = re.split(_closing(len(shape)) + rb"[ \t\r\n]*,", text)
    marks = [body.translate(None, _NUMBER + _BLANK) for body in bodies]
    row = _marks(shape)
    fits = [*(mark + b"]" * len(shape) == row for mark in marks[:-1]), marks[-1] == row]
    number = fits.index(False) if False in fits else 0
    near = bodies[number][:60].decode("ascii", "replace")
    sizes = " x ".join(map(str, shape)) or "one"
    return f"row {seen + number} of {name} (rows of {sizes} numbers) is not as expected: {near!r}"


def _marks(shape: Shape) -> bytes:
    """Brackets and commas of a row."""
    inner = b""
    for size in reversed(shape):
        inner = b"[" + b",".join([inner] * size) + b"]"
    return inner


def _numbers(text: bytes) -> np.ndarray:
    try:
        table = csv.read_csv(
            pa.BufferReader(text.translate(_ONE_A_LINE)),
            read_options=csv.ReadOptions(column_names=["number"], block_size=1 << 20),
            parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types={"number": pa.float64()}, null_values=[], strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        raise ValueError(f"holds something that is no number ({error})") from error
    numbers: np.ndarray = table.column("number").to_numpy()
    return numbers


def _what_is_wrong(path: Path, shape: Shape) -> str:
    """Read the slow way, to say what the fast way stumbled over."""
    try:
        values = json.loads(path.read_bytes())
    except ValueError as error:
        return f"is cut short or no JSON ({error}); copy it again"
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        return f"is ragged: expected {shape} numbers a row ({error})"
    if not array.ndim:
        return f"expected a list of rows, got {values!r:.40}"
    if array.shape[1:] == shape:
        return f"expected {shape} numbers a row, some are null, text or true or false"
    return f"expected {shape} numbers a row, got {array.shape[1:]}"
