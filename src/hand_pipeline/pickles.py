"""Read pickles of third-party data without running their code.

A pickle is a program. This reader allows only the names that the caller lists, each replaced by a
passive stand-in. That includes numpy's own classes: a crafted data type makes numpy read bytes as
addresses, which can crash Python or worse. Arrays are therefore built here from their bytes, for
plain data types only.
"""

import math
import pickle
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from io import BufferedIOBase
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np

_DAMAGE = (
    pickle.UnpicklingError, EOFError, struct.error, AttributeError, IndexError, KeyError,
    MemoryError, OverflowError, RecursionError, TypeError, ValueError,
)  # fmt: skip
_CODE = re.compile(r"([biufcSU])(\d{1,9})|(O)8?")


class DamagedPickle(ValueError):
    """A file is no pickle, is truncated, or is inconsistent."""


class UnsafePickle(ValueError):
    """A pickle asks for a name that is not allowed; it was not run.

    Attributes:
        name: the name it asks for.
    """

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


class PassiveCall:
    """A function that a pickle may call, but, unlike a plain function, not change."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a pickle may not change functions")


class Record:
    """Stands in for a class of another library; only keeps its state."""

    state: dict[str, Any]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)


class _DataType:
    """Stands in for numpy.dtype: plain numbers, strings and objects only."""

    def __init__(self, code: str | bytes, align: Any = False, copy: Any = True) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        found = _CODE.fullmatch(text)
        if found is None:
            raise TypeError(f"data type {text!r} is not one of plain numbers, strings or objects")
        self.found = np.dtype(text)
        if self.found.itemsize == 0:
            raise TypeError(f"data type {text!r} has no bytes")

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, order, base, names, parts = state[:5]  # then size, alignment and flags: known here
        if base is not None or names or parts:
            raise TypeError("data types of several fields are not read")
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order == ">":
            self.found = self.found.newbyteorder(">")

    def flat(self, content: Any, count: int) -> np.ndarray:
        """`count` values from an array's bytes, or from the list of an array of objects."""
        raw = content.encode("latin1") if isinstance(content, str) else content
        size = len(raw) if self.found.hasobject else len(raw) / self.found.itemsize
        if size != count or isinstance(raw, list) != self.found.hasobject:
            raise ValueError(f"an array of {count} {self.found} comes with {len(raw)} bytes")
        if self.found.hasobject:
            values = np.empty(count, dtype=object)
            for place, entry in enumerate(raw):  # one by one, or numpy would unpack sequences
                values[place] = entry
            return values
        if self.found.kind == "b":
            return np.frombuffer(raw, np.uint8) != 0
        return np.frombuffer(raw, self.found).astype(self.found.newbyteorder("="))


class _Array:
    """Stands in for numpy.ndarray; replaced by its array in the end."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, fortran, content = state
        self.fill(content, kind, shape, "F" if fortran else "C")

    def fill(self, content: Any, kind: Any, shape: Any, order: str) -> None:
        """Keep the values, after a check of their number and type."""
        self.shape = tuple(int(size) for size in ((shape,) if isinstance(shape, int) else shape))
        self.fortran = order == "F"
        if min(self.shape, default=0) < 0:
            raise ValueError(f"an array has the shape {self.shape}")
        self.values = _checked(kind).flat(content, math.prod(self.shape))


def _checked(kind: Any) -> _DataType:
    if not isinstance(kind, _DataType):
        raise TypeError(f"expected a data type, got {type(kind).__name__}")
    return kind


def _reconstruct(cls: Any, shape: Any, code: Any) -> _Array:
    """Stands in for numpy's function that makes an empty array."""
    if cls is not _Array:
        raise TypeError(f"cannot rebuild a {cls!r}")
    return _Array()


def _from_buffer(content: Any, kind: Any, shape: Any, order: Any) -> _Array:
    """Stands in for numpy's function that makes an array in pickle protocol 5."""
    found = _Array()
    found.fill(content, kind, shape, order)
    return found


def _scalar(kind: Any, content: Any) -> Any:
    """Stands in for numpy's function that makes a scalar."""
    if _checked(kind).found.hasobject:
        raise TypeError("a single object is not a number")
    return kind.flat(content, 1)[0]


def _encode(text: str, encoding: str) -> bytes:
    """_codecs.encode as Python 3 uses it for bytes in old protocols."""
    if encoding != "latin1":
        raise TypeError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """bytes() as Python 3 uses it for empty bytes in old protocols; no size may be given."""
    return b""


def _numpy_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DataType,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): PassiveCall(_encode),
    }
    for core in ("numpy.core", "numpy._core"):  # before and since numpy 2
        names[f"{core}.multiarray", "_reconstruct"] = PassiveCall(_reconstruct)
        names[f"{core}.multiarray", "scalar"] = PassiveCall(_scalar)
        names[f"{core}.numeric", "_frombuffer"] = PassiveCall(_from_buffer)
    for module in ("__builtin__", "builtins"):
        names[module, "set"] = set
        names[module, "bytes"] = PassiveCall(_no_bytes)
    return names


NUMPY: Mapping[tuple[str, str], Any] = MappingProxyType(_numpy_names())
"""Plain containers, and numpy's arrays and scalars, by their names in every version."""


def read_pickle(
    source: Path | IO[bytes] | BufferedIOBase,
    allowed: Mapping[tuple[str, str], Any] = NUMPY,
    encoding: str = "latin1",
) -> Any:
    """The content of a pickle of plain containers and numpy arrays.

    Args:
        source: path, or a file open for reading; its `name` is used in messages.
        allowed: what (module, name) in the pickle becomes. Values should be subclasses of `Record`
            or a `PassiveCall`; add to `NUMPY` rather than leave it out: `NUMPY | {...}`.
        encoding: of Python 2's strings; "latin1" reads its arrays too.

    Raises:
        FileNotFoundError: there is no such file.
        UnsafePickle: a ValueError; it asks for a name that is not allowed.
        DamagedPickle: a ValueError; it is no pickle, is truncated, or an array does not fit its
            data type or size.
    """
    if isinstance(source, Path):
        with source.open("rb") as handle:
            return _read(handle, source, allowed, encoding)
    return _read(source, getattr(source, "name", "the pickle"), allowed, encoding)


def _read(handle: Any, name: Any, allowed: Mapping[tuple[str, str], Any], encoding: str) -> Any:
    try:
        reader = _Reader(handle, name, allowed, encoding)
        content = reader.load()
        # Without stand-ins nothing is to be replaced, and MTC's long lists take long to walk.
        return _plain(content, {}) if reader.asked else content
    except UnsafePickle:
        raise
    except _DAMAGE as error:
        raise DamagedPickle(
            f"{name} is not a pickle of plain data, or is damaged "
            f"({type(error).__name__}: {error}); copy it again from its source"
        ) from error


class _Reader(pickle.Unpickler):
    def __init__(
        self,
        handle: Any,
        name: Any,
        allowed: Mapping[tuple[str, str], Any],
        encoding: str,
    ) -> None:
        super().__init__(handle, encoding=encoding)
        self._name, self._allowed = name, allowed
        self.asked = False

    def find_class(self, module: str, name: str) -> Any:
        self.asked = True
        found = self._allowed.get((module, name))
        if found is None:
            raise UnsafePickle(
                f"{self._name} asks for {module}.{name}, which such files do not need. It was not "
                "run. Do not use this file; download it again from its publisher",
                f"{module}.{name}",
            )
        return found


def _plain(value: Any, seen: dict[int, Any]) -> Any:
    """The value with stand-ins replaced by arrays, also within containers and records."""
    if not isinstance(value, dict | list | tuple | set | _Array | _DataType | Record):
        return value
    if id(value) in seen:
        return seen[id(value)]
    new: Any
    if isinstance(value, _Array):
        if value.values.dtype.hasobject:
            for place, entry in enumerate(value.values):
                value.values[place] = _plain(entry, seen)
        new = value.values.reshape(value.shape, order="F" if value.fortran else "C")
    elif isinstance(value, _DataType):
        new = value.found
    elif isinstance(value, dict):
        new = type(value)((_plain(k, seen), _plain(v, seen)) for k, v in value.items())
    elif isinstance(value, Record):
        new = value
        new.state = _plain(getattr(value, "state", {}), seen)
    else:
        new = type(value)([_plain(entry, seen) for entry in value])
    seen[id(value)] = new
    return new
