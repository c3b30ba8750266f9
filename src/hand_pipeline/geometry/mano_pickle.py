"""Read the official MANO_RIGHT.pkl or MANO_LEFT.pkl without chumpy and without running its code.

A pickle is a program. This reader knows the few classes that MANO's files are made of, replaces
those of chumpy and scipy by passive placeholders, and refuses every other name.
"""

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from hand_pipeline.pickles import (
    NUMPY,
    DamagedPickle,
    PassiveCall,
    Record,
    UnsafePickle,
    read_pickle,
)

_WHERE = "Download mano_v1_2.zip again from https://mano.is.tue.mpg.de (a free licence is needed)"


class _Chumpy(Record):
    """chumpy.ch.Ch: an array in `x`."""


class _ChumpySelect(Record):
    """chumpy.reordering.Select: elements `idxs` of the flattened `a`, in `preferred_shape`."""


class _Sparse(Record):
    """scipy.sparse.csc_matrix; rebuilt through scipy's constructor, which checks its indices."""


def read_mano_pickle(path: Path) -> dict[str, Any]:
    """The file's entries by name, arrays dense and plain; nothing in it is executed.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is no pickle, is damaged, or asks for code that MANO does not need.
    """
    try:
        content = read_pickle(path, _ALLOWED)
    except UnsafePickle as error:
        raise ValueError(
            f"{path} asks for {error.name}, which no MANO file needs. It was not run. Do not use "
            f"this file. {_WHERE}"
        ) from error
    except DamagedPickle as error:
        raise ValueError(
            f"{path} is not a MANO pickle, or is damaged ({error.__cause__}). "
            f"Expected MANO_RIGHT.pkl or MANO_LEFT.pkl from models/ in the zip. {_WHERE}"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"{path} holds a {type(content).__name__}, expected MANO's dictionary of arrays. "
            f"{_WHERE}"
        )
    return {str(name): _plain(value, f"{path}: {name!r}") for name, value in content.items()}


def _new_record(cls: Any, base: Any, state: Any) -> Record:
    """copyreg._reconstructor, for the placeholders only."""
    if not (isinstance(cls, type) and issubclass(cls, Record)) or base is not object or state:
        raise TypeError(f"cannot rebuild a {cls!r}")
    record = object.__new__(cls)
    assert isinstance(record, Record)
    return record


def _allow_list() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        **NUMPY,
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _ChumpySelect,
    }
    for module in ("scipy.sparse.csc", "scipy.sparse._csc", "scipy.sparse"):
        allowed[module, "csc_matrix"] = _Sparse
    for module in ("__builtin__", "builtins"):
        allowed[module, "object"] = object
    for module in ("copy_reg", "copyreg"):
        allowed[module, "_reconstructor"] = PassiveCall(_new_record)
    return allowed


_ALLOWED = _allow_list()


def _plain(value: Any, what: str) -> Any:
    """A placeholder as the array it was; anything else unchanged."""
    if not isinstance(value, Record):
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
