"""Long JSON lists of numbers, read in pieces: as Python objects they would take gigabytes.

Brackets and commas are compared with the pattern that rows of one shape make, numbers go through
Arrow's CSV parser, one a line: nothing that is no JSON passes, in a sixth of `json.loads`' time.
"""

import io
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from pyarrow import csv

_PIECE = 1 << 23  # bytes read at once
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
        ValueError: the file is cut short, no JSON, ragged, or has rows of another shape.
    """
    with path.open("rb") as handle:
        try:
            return _collect(_Walk(handle, [shape], ["the list"], outer=False), dtype)[0]
        except ValueError as error:
            detail = str(error)
    if path.stat().st_size <= _SMALL:
        detail = _what_is_wrong(path, shape)
    raise ValueError(f"{path} {detail}" if detail.startswith("is ") else f"{path}: {detail}")


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
        ValueError: as in `read_rows`; says in which row of which list.
    """
    return _collect(_Walk(stream, list(shapes), names, outer=True), dtype)


def iter_lists(
    stream: Stream, shapes: Sequence[Shape], names: Sequence[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """As `read_lists`, a piece at a time: (which list, its next rows), in memory of a piece."""
    yield from _Walk(stream, list(shapes), names, outer=True).pieces()


def iter_rows(stream: Stream, shape: Shape, name: str) -> Iterator[np.ndarray]:
    """As `iter_lists` for one list alone."""
    for _, rows in _Walk(stream, [shape], [name], outer=False).pieces():
        yield rows


def _collect(walk: "_Walk", dtype: type[np.floating]) -> list[np.ndarray]:
    found: list[np.ndarray | None] = [None] * len(walk.shapes)
    counts = [0] * len(walk.shapes)
    for which, rows in walk.pieces():
        start, counts[which] = counts[which], counts[which] + len(rows)
        whole = found[which] if start else np.empty((0, *rows.shape[1:]), dtype)
        assert whole is not None
        if len(whole) < counts[which]:
            # In place (mremap): with parts joined at the end every number would be there twice.
            size = max(counts[which], len(whole) + len(whole) // 8)
            whole.resize((size, *rows.shape[1:]), refcheck=False)
        whole[start : counts[which]] = rows
        found[which] = whole
    for whole, count in zip(found, counts):
        if whole is not None:
            whole.resize((count, *whole.shape[1:]), refcheck=False)
    empty = [np.empty((0, *(max(n, 0) for n in shape)), dtype) for shape in walk.shapes]
    return [rest if whole is None else whole for whole, rest in zip(found, empty)]


@dataclass
class _Walk:
    """Where in the text the reading is.

    Attributes:
        outer: whether the lists stand in a list.
        current: list being read.
        seen: brackets and commas of it so far.
        given: numbers of it handed out so far, or carried.
        carry: numbers of a row that is not whole yet.
        literal: what must come before the next row; empty inside a list.
    """

    stream: Stream
    shapes: list[Shape]
    names: Sequence[str]
    outer: bool
    current: int = 0
    seen: int = 0
    given: int = 0
    carry: np.ndarray = field(default_factory=lambda: np.empty(0))
    literal: bytes = field(init=False)
    done: bool = False

    def __post_init__(self) -> None:
        between = [b"],["] * (len(self.shapes) - 1)
        self._literals = [b"[[", *between, b"]]"] if self.outer else [b"[", b"]"]
        self.literal = self._literals[0]

    def pieces(self) -> Iterator[tuple[int, np.ndarray]]:
        """Whole rows, list after list."""
        for text in self._parts():
            marks = text.translate(None, _NUMBER + _BLANK)
            closed: list[tuple[int, int]] = []  # (list, its numbers)
            at = 0
            while at < len(marks):
                at += self._literal(marks, at, text) if self.literal or self.done else 0
                if at < len(marks) and not self.done:
                    at += self._rows(marks, at, text, closed)
            yield from self._deliver(_numbers(text), closed)
        if not self.done:
            raise ValueError(f"is cut short, in row {self._row()} of {self._name()}; copy it again")

    def _parts(self) -> Iterator[bytes]:
        """The text, cut behind commas or brackets, so that no number is torn."""
        rest = b""
        while piece := self.stream.read(_PIECE):
            rest += piece
            cut = max(rest.rfind(b","), rest.rfind(b"]")) + 1
            if cut:
                yield rest[:cut]
                rest = rest[cut:]
        if rest.strip(_BLANK):
            yield rest

    def _literal(self, marks: bytes, at: int, text: bytes) -> int:
        count = min(len(self.literal), len(marks) - at)
        if not count or marks[at : at + count] != self.literal[:count]:
            raise ValueError(self._misfit(text, at))
        self.literal = self.literal[count:]
        self.done = self.current == len(self.shapes) and not self.literal
        return count

    def _rows(self, marks: bytes, at: int, text: bytes, closed: list[tuple[int, int]]) -> int:
        """How far the marks are those of rows; at the end of the list, what must come then."""
        shape = self.shapes[self.current]
        if _ANY in shape and (self.seen or not marks.startswith(b"]", at)):
            return self._first_row(marks, at, text)
        row = _marks(shape) + b","
        phase, length = self.seen % len(row), len(marks) - at
        expected = (row * (length // len(row) + 2))[phase : phase + length]
        got = marks[at:]
        count = length if got == expected else int(np.argmax(_bytes(got) != _bytes(expected)))
        self.seen += count
        if count < length:
            rows, over = divmod(self.seen, len(row))
            at_end = over == len(row) - 1 or self.seen == 0
            if got[count : count + 1] != b"]" or not at_end:
                raise ValueError(self._misfit(text, at + count))
            rows += over > 0 or not shape  # plain numbers: one more than commas
            closed.append((self.current, rows * math.prod(shape)))
            self.current, self.seen = self.current + 1, 0
            self.literal = self._literals[self.current]
        return count

    def _first_row(self, marks: bytes, at: int, text: bytes) -> int:
        """As `_rows` for a row of a free size, which its end settles."""
        inner = self.shapes[self.current][1:]
        unit = _marks(inner) + b","
        length = len(marks) - at
        expected = b"[" + unit * ((self.seen + length) // len(unit) + 1)
        expected, got = expected[self.seen : self.seen + length], marks[at:]
        count = length if got == expected else int(np.argmax(_bytes(got) != _bytes(expected)))
        self.seen += count
        if count < length:
            size, over = divmod(self.seen, len(unit))
            if got[count : count + 1] != b"]" or over or not size:
                raise ValueError(self._misfit(text, at + count))
            self.shapes[self.current] = (size, *inner)
        return count

    def _deliver(
        self, numbers: np.ndarray, closed: list[tuple[int, int]]
    ) -> Iterator[tuple[int, np.ndarray]]:
        for which, total in closed:
            own, numbers = np.split(numbers, [total - self.given])
            empty = total == 1 and self.given == 0 and not self.shapes[which]
            if len(own) != total - self.given and not empty:
                raise ValueError(f"{self.names[which]} lacks a number between two commas")
            yield from self._whole_rows(which, own)
            self.given = 0
        if self.current < len(self.shapes):
            self.given += len(numbers)
            yield from self._whole_rows(self.current, numbers)

    def _whole_rows(self, which: int, numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        shape = self.shapes[which]
        numbers = np.concatenate([self.carry, numbers]) if len(self.carry) else numbers
        size = math.prod(shape)
        whole = 0 if _ANY in shape else len(numbers) // size
        self.carry = numbers[whole * size :].copy()
        if whole:
            yield which, numbers[: whole * size].reshape(whole, *shape)

    def _misfit(self, text: bytes, mark: int) -> str:
        """Message on the mark that is out of place, with the text around it."""
        found = re.finditer(rb"[^%s]" % re.escape(_NUMBER + _BLANK), text)
        place = next(itertools.islice(found, mark, None)).start()
        near = text[max(place - 30, 0) : place + 30].decode("ascii", "replace")
        return f"row {self._row()} of {self._name()} is not as expected, near {near!r}"

    def _row(self) -> int:
        if self.current >= len(self.shapes):
            return 0
        shape = self.shapes[self.current]
        return 0 if _ANY in shape else self.seen // (len(_marks(shape)) + 1)

    def _name(self) -> str:
        if self.current >= len(self.shapes):
            return "what follows the last list"
        shape = " x ".join("N" if size == _ANY else str(size) for size in self.shapes[self.current])
        return f"{self.names[self.current]} (rows of {shape or 'one'} numbers)"


def _marks(shape: Shape) -> bytes:
    """Brackets and commas of a row."""
    inner = b""
    for size in reversed(shape):
        inner = b"[" + b",".join([inner] * size) + b"]"
    return inner


def _bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(text, dtype=np.uint8)


def _numbers(text: bytes) -> np.ndarray:
    lines = text.translate(_ONE_A_LINE).strip(b" \n")
    if not lines:
        return np.empty(0)
    try:
        table = csv.read_csv(
            pa.BufferReader(lines),
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
