"""Read the official MANO_RIGHT.pkl or MANO_LEFT.pkl without chumpy and without running its code.

A pickle is a program. This reader knows the few classes that MANO's files are made of, replaces
those of chumpy and scipy by passive stand-ins, and refuses every other name.
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

_WHERE = "Download mano_v1_2.zip again from https://mano.is.tue.mpg.de (a free licence is needed)"


class _Record:
    """Stands in for a class of another library: keeps the state it had, and does nothing."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = dict(state)


class _Chumpy(_Record):
    """chumpy.ch.Ch: an array in `x`."""


class _ChumpySelect(_Record):
    """chumpy.reordering.Select: elements `idxs` of the flattened `a`, in `preferred_shape`."""


class _Sparse(_Record):
    """scipy.sparse.csc_matrix; rebuilt through scipy's constructor, which checks its indices."""


def read_mano_pickle(path: Path) -> dict[str, Any]:
    """The file's entries by name, arrays dense and plain; nothing in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no pickle, is damaged, or asks for code that MANO does not need.
    """
    try:
        with path.open("rb") as handle:
            content = _Reader(handle, path).load()
    except (pickle.UnpicklingError, EOFError, struct.error, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not a MANO pickle, or is damaged ({type(error).__name__}: {error}). "
            f"Expected MANO_RIGHT.pkl or MANO_LEFT.pkl from models/ in the zip. {_WHERE}"
        ) from error
    except (AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged or not what MANO ships: reading it ended with "
            f"{type(error).__name__}: {error}. {_WHERE}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, expected MANO's dictionary of arrays. "
            f"{_WHERE}"
        )
    return {str(name): _plain(value, f"{path}: {name!r}") for name, value in content.items()}


class _Reader(pickle.Unpickler):
    def __init__(self, handle: Any, path: Path) -> None:
        super().__init__(handle, encoding="latin1")  # written by Python 2
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise ValueError(
                f"{self._path} asks for {module}.{name}, which no MANO file needs. It was not "
                f"run. Do not use this file. {_WHERE}"
            )
        return found


def _new_record(cls: Any, base: Any, state: Any) -> _Record:
    """copyreg._reconstructor for the stand-ins only."""
    if not (isinstance(cls, type) and issubclass(cls, _Record)) or base is not object or state:
        raise TypeError(f"cannot rebuild a {cls!r}")
    record = object.__new__(cls)
    assert isinstance(record, _Record)
    return record


def _encode(text: str, encoding: str) -> bytes:
    """_codecs.encode as Python 3 uses it for bytes in old protocols."""
    if encoding != "latin1":
        raise TypeError(f"unexpected encoding {encoding!r}")
    return text.encode("latin1")


def _allow_list() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _ChumpySelect,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encode,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        # Asked of numpy itself, since the functions' home is private and has moved.
        allowed[module, "_reconstruct"] = np.empty(0).__reduce__()[0]
        allowed[module, "scalar"] = np.float64(0).__reduce__()[0]
    for module in ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse"):
        allowed[module, "csc_matrix"] = _Sparse
    for module in ("__builtin__", "builtins"):
        allowed[module, "object"] = object
        allowed[module, "set"] = set
    for module in ("copy_reg", "copyreg"):
        allowed[module, "_reconstructor"] = _new_record
    return allowed


_ALLOWED = _allow_list()


def _plain(value: Any, what: str) -> Any:
    """A stand-in as the array it was; anything else as it is."""
    if not isinstance(value, _Record):
        return value
    state = getattr(value, "state", {})
    try:
        if isinstance(value, _Sparse):
            shape = state.get("_shape", state.get("shape"))
            parts = (state["data"], state["indices"], state["indptr"])
            return sparse.csc_matrix(parts, shape=shape).toarray()
        if isinstance(value, _ChumpySelect):
            chosen = np.ravel(_plain(state["a"], what))[np.asarray(state["idxs"])]
            return chosen.reshape(state.get("preferred_shape", chosen.shape))
        return np.asarray(_plain(state["x"], what))
    except (KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{what} cannot be turned into an array: its {type(value).__doc__} has the fields "
            f"{sorted(state)} ({type(error).__name__}: {error}). {_WHERE}"
        ) from error
