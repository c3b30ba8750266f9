"""JSON of records: small files read whole, files of gigabytes one record at a time."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from hand_pipeline.data.manifest import DataSetError

_PIECE = 1 << 22  # characters read at once
_LONGEST_STRING = 1 << 16  # an error so far from the end of what was read is not for want of more
_BLANK = " \t\r\n"


def load_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DataSetError: the file is missing, cut short or no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DataSetError(f"no {path}; copy the set's files again") from error
    except ValueError as error:
        raise DataSetError(f"{path} is cut short or no JSON ({error}); copy it again") from error


def field(record: Any, key: str, where: str) -> Any:
    """A record's value.

    Args:
        record: which should be a JSON object.
        key: the value's name.
        where: file and record, for the message.

    Raises:
        DataSetError: it is no object or lacks the key.
    """
    if not isinstance(record, dict) or key not in record:
        has = ", ".join(record) if isinstance(record, dict) else f"a {type(record).__name__}"
        raise DataSetError(f"{where} lacks {key!r} (it has {has or 'nothing'})")
    return record[key]


def numbers(record: Any, key: str, shape: tuple[int, ...], where: str) -> np.ndarray:
    """A record's nested list of numbers as float64; NaN where it says null or NaN.

    Raises:
        DataSetError: the key is missing, or its value has another shape or holds no numbers.
    """
    value = field(record, key, where)
    try:
        array = np.array(value)
    except ValueError as error:
        raise DataSetError(f"{where}: {key!r} is ragged, expected {shape} numbers") from error
    if array.dtype == object and array.shape == shape:
        array = np.where(array == None, np.nan, array)  # noqa: E711 (element by element)
    if array.shape != shape or array.dtype.kind not in "biufO":
        found = f"{array.shape} of {array.dtype}"
        raise DataSetError(f"{where}: {key!r} should be {shape} numbers, but is {found}")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataSetError(f"{where}: {key!r} holds what is no number ({error})") from error


def stream_records(path: Path, lists: Collection[str]) -> Iterator[tuple[str, Any]]:
    """The records of some lists of a JSON object, one at a time, in the file's order.

    The file is never in memory as a whole: youtube_train.json is gigabytes of text, and would be
    several times that as Python numbers.

    Args:
        path: a file of one object.
        lists: keys of it whose values are lists of objects; other keys are passed over.

    Yields:
        The list's key and a record.

    Raises:
        DataSetError: the file is missing, cut short, no JSON object, or lacks one of the lists.
    """
    missing = set(lists)
    try:
        with path.open(encoding="utf-8") as handle:
            text = _Text(handle)
            text.expect("{")
            while (mark := text.next()) != "}":
                if mark == ",":
                    text.expect(",")
                key = text.value()
                text.expect(":")
                if key in missing and text.next() == "[":
                    missing.discard(key)
                    yield from ((key, record) for record in text.items())
                else:
                    text.value()
    except FileNotFoundError as error:
        raise DataSetError(f"no {path}") from error
    except ValueError as error:
        raise DataSetError(f"{path} is cut short or no JSON ({error}); copy it again") from error
    if missing:
        raise DataSetError(f"{path} lacks the list(s) {', '.join(sorted(missing))}")


class _Text:
    """A text file, of which only the part being decoded is held."""

    def __init__(self, handle: IO[str]) -> None:
        self._handle, self._text, self._at = handle, "", 0
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def next(self) -> str:
        """The next character that is not blank, left in place."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise ValueError("unexpected end of file")

    def expect(self, mark: str) -> None:
        """Pass over a character."""
        if (found := self.next()) != mark:
            raise ValueError(f"expected {mark!r}, found {found!r}")
        self._at += 1

    def value(self) -> Any:
        """Decode the next value, reading on until it is whole."""
        self.next()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - error.pos > _LONGEST_STRING or not self._more():
                    raise
                continue
            if end == len(self._text) and self._more():  # a number may go on in the next piece
                continue
            self._at = end
            return value

    def items(self) -> Iterator[Any]:
        """Decode a list's items one by one."""
        self.expect("[")
        if self.next() == "]":
            self.expect("]")
            return
        while True:
            yield self.value()
            if self.next() == "]":
                self.expect("]")
                return
            self.expect(",")

    def _more(self) -> bool:
        """Drop what has been decoded and read another piece; False at the end of the file."""
        piece = "" if self._ended else self._handle.read(_PIECE)
        self._ended = not piece
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)
