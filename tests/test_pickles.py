"""Pickles of plain data are read; those that would run something, or lie to numpy, are refused."""

import collections
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hand_pipeline.pickles import NUMPY, PassiveCall, Record, read_pickle

CONTENT = {
    "handPose": np.linspace(-1, 1, 48),
    "camMat": np.eye(3, dtype=np.float32)[:, ::-1].T,
    "big_endian": np.arange(4, dtype=">i4"),
    "valid": np.array([[True, False], [False, True]]),
    "nothing": np.zeros((0, 3)),
    "names": np.array(["a", "bcd"]),
    "objects": np.array([None, {"a": np.arange(2)}, [1, 2]], dtype=object),
    "number": np.float64(1.5),
    "single": np.array(7),
    "plain": [1, (2, "three"), {4}, None, b"five", True],
    "ordered": collections.OrderedDict(a=1),
}


class Call:
    """Pickled, it is a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, np.ndarray | np.generic):
        assert type(found) is type(expected)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype.newbyteorder("=")
        assert_equal(found.tolist(), expected.tolist())
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_equal(found[name], expected[name])
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            assert_equal(one, other)
    else:
        assert type(found) is type(expected)
        assert found == expected


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_and_arrays_come_back_of_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "0000.pkl"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    assert_equal(read_pickle(path), CONTENT)


def test_numpys_names_before_version_2_are_known() -> None:
    data = pickle.dumps(CONTENT, protocol=2)
    assert b"cnumpy._core.multiarray\n" in data
    old = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert_equal(read_pickle(io.BytesIO(old)), CONTENT)


def test_python_2s_strings_of_bytes_become_text_and_arrays() -> None:
    """As Python 2 wrote them: str for names, and an array's bytes in a str."""
    data = (
        b"\x80\x02}U\x05transcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        b"U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x08"
        + np.array([1.5, -0.25], "<f4").tobytes()
        + b"tbs."
    )
    assert_equal(read_pickle(io.BytesIO(data)), {"trans": np.array([1.5, -0.25], np.float32)})


def test_arrays_can_be_written_to() -> None:
    found = read_pickle(io.BytesIO(pickle.dumps(np.zeros(3))))
    found += 1
    assert found.sum() == 3


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_a_command_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    mark, path = tmp_path / "was_run", tmp_path / "0000.pkl"
    path.write_bytes(pickle.dumps({"a": Call(os.system, f"touch {mark}")}, protocol=protocol))
    with pytest.raises(ValueError, match=r"0000\.pkl asks for (posix|nt)\.system.*not run"):
        read_pickle(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())  # it is a working attack
    assert mark.exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, __import__, np.load, np.empty, print])
def test_other_functions_are_refused_too(function: Any) -> None:
    data = pickle.dumps(Call(function, "1"), protocol=2)
    with pytest.raises(ValueError, match="asks for"):
        read_pickle(io.BytesIO(data))


def test_dotted_names_do_not_reach_around_the_list() -> None:
    name = b"ndarray.__class__"
    data = b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(name)]) + name + b"\x93)R."
    with pytest.raises(ValueError, match=r"asks for numpy\.ndarray\.__class__"):
        read_pickle(io.BytesIO(data))


class Lie:
    """An array whose data type, or size, is not that of its bytes."""

    def __init__(self, dtype: np.dtype, state: Any, shape: Any, content: Any) -> None:
        self.dtype, self.state, self.shape, self.content = dtype, state, shape, content

    def __reduce__(self) -> Any:
        rebuild, first, _ = np.empty(0).__reduce__()
        return (
            rebuild,
            first,
            (1, self.shape, LiedType(self.dtype, self.state), False, self.content),
        )


class LiedType:
    def __init__(self, dtype: np.dtype, state: Any) -> None:
        self.dtype, self.state = dtype, state

    def __reduce__(self) -> Any:
        make, first, *_ = self.dtype.__reduce__()
        return make, first, self.state


PLAIN = (3, "|", None, None, None, -1, -1, 0)


@pytest.mark.parametrize(
    ("dtype", "state", "shape", "content"),
    [
        ("O", PLAIN, (1,), b"A" * 8),  # bytes as an object's address: numpy itself crashes
        ("V8", (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0), (1,), b"A" * 8),
        ("V8", (3, "|", None, ("a",), {"a": (np.dtype("f8"), 99999)}, 8, 1, 0), (1,), b"A" * 8),
        ("f8", PLAIN, (1000,), b"A" * 8),
        ("f8", PLAIN, (-1,), b"A" * 8),
        ("f8", PLAIN, (1,), [1.0]),
    ],
)
def test_arrays_that_lie_about_their_bytes_are_refused(
    dtype: str, state: Any, shape: Any, content: Any
) -> None:
    data = pickle.dumps(Lie(np.dtype(dtype), state, shape, content), protocol=2)
    with pytest.raises(ValueError, match="not a pickle of plain data, or is damaged"):
        read_pickle(io.BytesIO(data))


def test_a_pickle_cannot_change_the_functions_it_may_call() -> None:
    for (module, name), value in NUMPY.items():
        if isinstance(value, PassiveCall):
            data = f"c{module}\n{name}\n(N(S'__defaults__'\n(I1\ntdtb.".encode()
            with pytest.raises(ValueError, match="may not change functions"):
                read_pickle(io.BytesIO(data))


def test_containers_in_themselves_and_many_times_over_neither_hang_nor_crash() -> None:
    loop: list[Any] = [np.arange(2)]
    loop.append(loop)
    with pytest.raises(ValueError, match="RecursionError"):
        read_pickle(io.BytesIO(pickle.dumps(loop)))
    shared: list[Any] = [np.arange(2)]
    for _ in range(60):
        shared = [shared, shared]
    found = read_pickle(io.BytesIO(pickle.dumps(shared)))
    assert found[0] is found[1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04no pickle", b"version https://git-lfs"])
def test_what_is_no_pickle_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0000.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"0000\.pkl is not a pickle of plain data"):
        read_pickle(path)


def test_a_truncated_pickle_is_named(tmp_path: Path) -> None:
    path, whole = tmp_path / "0000.pkl", pickle.dumps(CONTENT, protocol=2)
    for length in (1, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"0000\.pkl is not a pickle of plain data"):
            read_pickle(path)


class Other:
    """A class of some library."""

    def __init__(self) -> None:
        self.x = np.arange(3)


def test_a_callers_class_is_stood_in_for_with_its_state() -> None:
    class Kept(Record):
        pass

    allowed = {**NUMPY, (Other.__module__, "Other"): Kept}
    for module in ("copyreg", "copy_reg"):
        allowed[module, "_reconstructor"] = PassiveCall(lambda cls, base, state: cls())
    allowed["__builtin__", "object"] = object
    data = pickle.dumps([Other()], protocol=4)
    (found,) = read_pickle(io.BytesIO(data), allowed)
    assert type(found) is Kept
    np.testing.assert_array_equal(found.state["x"], np.arange(3))
    with pytest.raises(ValueError, match=r"asks for .*Other"):
        read_pickle(io.BytesIO(data))
