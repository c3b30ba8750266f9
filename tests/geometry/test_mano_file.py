import os
import pickle
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import torch

import hand_pipeline
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.mano_file import convert_mano, load_mano

OPEN_HAND = Path(hand_pipeline.__file__).parent / "assets/open_hand/openhand_right.npz"


@pytest.fixture
def arrays() -> dict[str, Any]:
    """The open hand under MANO's names and in its types."""
    with np.load(OPEN_HAND, allow_pickle=False) as archive:
        names = set(archive.files) - {"nails", "flex_axes", "abd_axes", "mh_vertex_ids"}
        content = {name: archive[name] for name in names}
    return {
        name: value.astype(np.float64) if value.dtype == np.float32 else value
        for name, value in content.items()
    }


@pytest.fixture
def chumpy() -> Iterator[types.SimpleNamespace]:
    """Modules that look like chumpy to a pickler; gone again before anything is read."""

    class Ch:
        pass

    class Select(Ch):
        pass

    for cls, module in ((Ch, "chumpy.ch"), (Select, "chumpy.reordering")):
        cls.__module__, cls.__qualname__ = module, cls.__name__
        sys.modules[module] = types.ModuleType(module)
        setattr(sys.modules[module], cls.__name__, cls)
    sys.modules["chumpy"] = types.ModuleType("chumpy")
    yield types.SimpleNamespace(Ch=Ch, Select=Select)
    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        sys.modules.pop(module, None)


def disguise(arrays: dict[str, Any], chumpy: types.SimpleNamespace) -> dict[str, Any]:
    """As MANO ships them: chumpy objects with their state, and a sparse regressor."""
    posedirs = chumpy.Ch()
    posedirs.__dict__ |= {"_dirty_vars": {"x"}, "_itr": None, "x": arrays["posedirs"]}
    whole = chumpy.Ch()
    shuffled = np.concatenate([np.ones(5), arrays["shapedirs"].ravel()[::-1]])
    whole.__dict__ |= {"_dirty_vars": set(), "x": shuffled}
    select = chumpy.Select()
    select.__dict__ |= {
        "_dirty_vars": set(),
        "dterms": ["a"],
        "a": whole,
        "idxs": np.arange(len(shuffled) - 1, 4, -1),
        "preferred_shape": arrays["shapedirs"].shape,
    }
    return arrays | {
        "posedirs": posedirs,
        "shapedirs": select,
        "J_regressor": scipy.sparse.csc_matrix(arrays["J_regressor"]),
        "bs_style": "lbs",
    }


def store(path: Path, content: Any, protocol: int = 2) -> Path:
    """Write as Python 2 did: its module names are what the fixed imports of protocol 2 give."""
    path.write_bytes(pickle.dumps(content, protocol=protocol, fix_imports=True))
    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        sys.modules.pop(module, None)
    return path


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_with_chumpy_objects_becomes_the_same_hand(
    tmp_path: Path, arrays: dict[str, Any], chumpy: types.SimpleNamespace, protocol: int
) -> None:
    source = store(tmp_path / "MANO_RIGHT.pkl", disguise(arrays, chumpy), protocol)
    target = convert_mano(source, tmp_path / "out" / "right.npz")
    found, expected = load_mano(target), load_mano(OPEN_HAND)
    for name in ("v_template", "f", "shapedirs", "posedirs", "J_regressor", "weights"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    for name in ("hands_mean", "hands_components", "hands_coeffs"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), name)
    pose = torch.eye(3).expand(1, 16, 3, 3)
    mesh = ManoHand(target)(pose, torch.ones(1, 10))
    assert torch.equal(mesh.vertices, ManoHand()(pose, torch.ones(1, 10)).vertices)


def test_module_names_of_python_2_and_old_scipy_are_known(
    tmp_path: Path, arrays: dict[str, Any], chumpy: types.SimpleNamespace
) -> None:
    source = store(tmp_path / "MANO_RIGHT.pkl", disguise(arrays, chumpy))
    data = source.read_bytes()
    assert b"c__builtin__\nset" in data
    assert b"numpy._core.multiarray" in data
    data = data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    data = data.replace(b"cscipy.sparse._csc\n", b"cscipy.sparse.csc\n")
    source.write_bytes(data)
    convert_mano(source, tmp_path / "right.npz")
    np.testing.assert_array_equal(
        load_mano(tmp_path / "right.npz").posedirs, load_mano(OPEN_HAND).posedirs
    )


def test_the_default_file_is_named_after_the_hand_it_holds(
    tmp_path: Path, arrays: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert convert_mano(store(tmp_path / "a.pkl", arrays)) == Path(
        "data/01_raw/mano/MANO_RIGHT.npz"
    )
    arrays["v_template"] = arrays["v_template"] * [-1, 1, 1]
    target = convert_mano(store(tmp_path / "b.pkl", arrays))
    assert target == Path("data/01_raw/mano/MANO_LEFT.npz")
    assert load_mano(target).side() == "left"


class _Run:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_a_command_is_refused_and_named(tmp_path: Path, protocol: int) -> None:
    mark = tmp_path / "was_run"
    source = tmp_path / "MANO_RIGHT.pkl"
    source.write_bytes(pickle.dumps({"f": _Run(os.system, f"touch {mark}")}, protocol=protocol))
    with pytest.raises(ValueError, match=r"asks for (posix|nt)\.system, which no MANO file needs"):
        convert_mano(source, tmp_path / "out.npz")
    assert not mark.exists()
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, __import__, torch.load])
def test_harmful_functions_are_refused_wherever_they_come_from(
    tmp_path: Path, function: Any
) -> None:
    source = tmp_path / "MANO_RIGHT.pkl"
    source.write_bytes(pickle.dumps({"f": _Run(function, "1")}, protocol=2))
    with pytest.raises(ValueError, match="which no MANO file needs"):
        convert_mano(source, tmp_path / "out.npz")


def test_dotted_names_do_not_reach_around_the_list(tmp_path: Path) -> None:
    source = tmp_path / "MANO_RIGHT.pkl"
    # Protocol 4: push two strings, look the name up in the module, call it.
    name = b"ndarray.__class__"
    opcodes = b"\x80\x04\x8c\x05numpy\x8c" + bytes([len(name)]) + name + b"\x93)R."
    source.write_bytes(opcodes)
    with pytest.raises(ValueError, match="which no MANO file needs"):
        convert_mano(source, tmp_path / "out.npz")


def damaged(arrays: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    return {key: entry for key, entry in (arrays | {name: value}).items() if entry is not None}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("v_template", lambda a: np.zeros((6890, 3)), "SMPL's body model has 6890 vertices"),
        (
            "shapedirs",
            lambda a: a[:, :, :5],
            "'shapedirs' is 778x3x5 of float64, expected 778x3x10",
        ),
        ("f", lambda a: a.astype(float), "'f' is 1538x3 of float64"),
        ("f", lambda a: a + 1, "faces use vertices 1 to 778, expected 0 to 777"),
        ("weights", lambda a: a * 2, "rows of 'weights' must sum to 1"),
        ("hands_mean", lambda a: a * np.nan, "'hands_mean' has values that are not finite"),
        ("posedirs", lambda a: None, "has no array 'posedirs'; it holds J, J_regressor"),
        ("kintree_table", lambda a: a[:, ::-1], "the joint tree has the parents"),
        ("J_regressor", lambda a: "none", "'J_regressor' is "),
    ],
)
def test_another_model_is_refused_with_what_was_expected(
    tmp_path: Path, arrays: dict[str, Any], name: str, change: Any, message: str
) -> None:
    source = store(tmp_path / "model.pkl", damaged(arrays, name, change(arrays[name])))
    with pytest.raises(ValueError, match=message) as caught:
        convert_mano(source, tmp_path / "out.npz")
    assert str(source) in str(caught.value)
    assert "python -m hand_pipeline mano convert" in str(caught.value)
    assert list(tmp_path.glob("*.npz")) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04not a pickle", b"version https://git-lfs", pickle.dumps([1, 2])],
)
def test_files_that_are_no_mano_pickle_say_so(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "MANO_RIGHT.pkl"
    source.write_bytes(content)
    with pytest.raises(ValueError, match="MANO"):
        convert_mano(source, tmp_path / "out.npz")


def test_a_truncated_pickle_says_so(tmp_path: Path, arrays: dict[str, Any]) -> None:
    source = store(tmp_path / "MANO_RIGHT.pkl", arrays)
    whole = source.read_bytes()
    for length in (10, 1000, len(whole) // 2, len(whole) - 1):
        source.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="is not a MANO pickle, or is damaged"):
            convert_mano(source, tmp_path / "out.npz")


def test_a_chumpy_object_without_its_array_is_named(
    tmp_path: Path, arrays: dict[str, Any], chumpy: types.SimpleNamespace
) -> None:
    hollow = chumpy.Select()
    hollow.__dict__ |= {"idxs": np.arange(3)}
    source = store(tmp_path / "MANO_RIGHT.pkl", arrays | {"shapedirs": hollow})
    with pytest.raises(ValueError, match=r"'shapedirs' cannot be turned into an array.*\['idxs'\]"):
        convert_mano(source, tmp_path / "out.npz")


def test_an_unconverted_pickle_is_not_loaded_but_explained(tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(b"anything")
    with pytest.raises(ValueError, match=f"hand_pipeline mano convert {path}"):
        ManoHand(path)


def test_a_missing_model_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no MANO model at"):
        ManoHand(tmp_path / "MANO_RIGHT.npz")
    with pytest.raises(FileNotFoundError, match=r"https://mano\.is\.tue\.mpg\.de"):
        convert_mano(tmp_path / "MANO_RIGHT.pkl")


def test_a_broken_npz_says_so(tmp_path: Path) -> None:
    path = tmp_path / "MANO_RIGHT.npz"
    path.write_bytes(OPEN_HAND.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is no readable npz file"):
        load_mano(path)
    flipped = bytearray(OPEN_HAND.read_bytes())
    flipped[20_000:20_100] = bytes(100)
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match="is no readable npz file"):
        load_mano(path)
    np.savez(path, v_template=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="is no readable npz file"):
        load_mano(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="is no readable npz file"):
        load_mano(path)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    with pytest.raises(ValueError, match="is no readable npz file"):
        load_mano(tmp_path / "plain.npy")


def test_a_failed_conversion_leaves_the_old_file(tmp_path: Path, arrays: dict[str, Any]) -> None:
    target = convert_mano(store(tmp_path / "a.pkl", arrays), tmp_path / "right.npz")
    before = target.read_bytes()
    with pytest.raises(ValueError, match="must sum to 1"):
        convert_mano(store(tmp_path / "b.pkl", arrays | {"weights": arrays["weights"] * 3}), target)
    assert target.read_bytes() == before


def test_conversion_writes_the_same_bytes_every_time(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    source = store(tmp_path / "a.pkl", arrays)
    first = convert_mano(source, tmp_path / "1.npz").read_bytes()
    assert convert_mano(source, tmp_path / "2.npz").read_bytes() == first
