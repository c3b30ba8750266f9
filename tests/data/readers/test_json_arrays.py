"""Long lists of numbers are read whole, or it is said what is wrong with them."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.data.readers import json_arrays
from hand_pipeline.data.readers.json_arrays import iter_lists, read_lists, read_rows

PAIR = [(21, 3), (-1, 3)]
NAMES = ["xyz_list", "verts_list"]
SHAPES = [(), (3,), (2, 3), (1, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [0, 1, 5])
@pytest.mark.parametrize("piece", [1, 7, 1 << 23])
def test_rows_are_read_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], count: int, piece: int
) -> None:
    monkeypatch.setattr(json_arrays, "_PIECE", piece)
    values = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    for indent in (None, 2):
        (tmp_path / "rows.json").write_text(json.dumps(values.tolist(), indent=indent))
        np.testing.assert_array_equal(read_rows(tmp_path / "rows.json", shape), values)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piece", [1, 1 << 23])
def test_a_file_cut_short_anywhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], piece: int
) -> None:
    """Also between two rows, where all that is there is whole."""
    monkeypatch.setattr(json_arrays, "_PIECE", piece)
    text = json.dumps(np.ones((3, *shape)).tolist())
    for end in range(len(text)):
        (tmp_path / "rows.json").write_text(text[:end])
        with pytest.raises(ValueError, match=r"rows\.json is cut short or no JSON"):
            read_rows(tmp_path / "rows.json", shape)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1, 2, 3], [4]]", "ragged"),  # as many numbers as two whole rows have
        ("[[], [1, 2, 3, 4]]", "ragged"),
        ("[[1, 2], [3]]", "ragged"),
        ("[1, 2]", r"expected \(2,\) numbers a row, got \(\)"),
        ("[[[1, 2]]]", r"expected \(2,\) numbers a row, got \(1, 2\)"),
        ("[[1, 2]], [[3, 4]]", "cut short or no JSON"),
        ("[[1, 2]]]", "cut short or no JSON"),
        ("[[1, 2], [1.2.3, 4]]", "cut short or no JSON"),
        ("[[1, null]]", "some are null"),
        ('[["1", "2"]]', "text"),
        ("7", "expected a list of rows, got 7"),
        ('{"a": [1, 2]}', "ragged"),
    ],
)
def test_a_file_of_another_form_says_how(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "rows.json").write_text(content)
    with pytest.raises(ValueError, match=message) as error:
        read_rows(tmp_path / "rows.json", (2,))
    assert "rows.json" in str(error.value)


def test_nan_and_infinity_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text("[[NaN, -1e-3], [Infinity, -Infinity]]")
    found = read_rows(tmp_path / "rows.json", (2,), np.float64)
    np.testing.assert_array_equal(found, [[np.nan, -1e-3], [np.inf, -np.inf]])
    assert found.dtype == np.float64


@pytest.fixture(params=[1 << 23, 5000, 7])
def piece(request, monkeypatch) -> int:
    """Bytes read at once: a piece may end anywhere."""
    monkeypatch.setattr(json_arrays, "_PIECE", request.param)
    return request.param


def pair(count: int, vertices: int = 20) -> list:
    rng = np.random.default_rng(0)
    shapes = ((count, 21, 3), (count, vertices, 3))
    return [rng.normal(size=shape).tolist() for shape in shapes]


def read(text: str) -> list[np.ndarray]:
    return read_lists(io.BytesIO(text.encode()), PAIR, NAMES)


@pytest.mark.parametrize("layout", [{}, {"indent": 1}, {"separators": (",", ":")}])
def test_a_pair_of_lists_is_read_bit_by_bit_as_json_reads_it(piece, layout):
    values = pair(4)
    joints, vertices = read(json.dumps(values, **layout))
    np.testing.assert_array_equal(joints, values[0])
    np.testing.assert_array_equal(vertices, values[1])


def test_pieces_are_whole_rows_in_order(monkeypatch):
    monkeypatch.setattr(json_arrays, "_PIECE", 3000)
    values = pair(6)
    found: list[list[np.ndarray]] = [[], []]
    for which, rows in iter_lists(io.BytesIO(json.dumps(values).encode()), PAIR, NAMES):
        found[which].append(rows)
    assert len(found[0]) > 2
    for parts, truth in zip(found, values):
        np.testing.assert_array_equal(np.concatenate(parts), truth)


BROKEN = {
    "a list too many": lambda text: text[:-1] + ",[]]",
    "something behind it": lambda text: text + "[",
    "a list missing": lambda text: text[: text.index("]]],") + 3] + "]",
    "a comma at the end": lambda text: text[:-2] + ",]]",
    "two commas": lambda text: text.replace(", ", ", , ", 1),
    "a missing comma": lambda text: text.replace(", ", " ", 1),
    "a torn number": lambda text: text.replace(".", ". ", 1),
    "a word": lambda text: text.replace("[[[", "[[[null, ", 1),
    "a string": lambda text: text.replace("[[[", '[[["1", ', 1),
    "a number before a bracket": lambda text: text.replace("[[[", "[[1[", 1),
    "a number behind a bracket": lambda text: text.replace("],", "]1,", 1),
    "two points": lambda text: text.replace(".", "..", 1),
    "a joint missing": lambda text: text.replace("]]", "]", 1),
    "half of it": lambda text: text[: len(text) // 2],
    "all but the end": lambda text: text[:-1],
    "nothing": lambda text: "",
    "an object": lambda text: '{"a": 1}',
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_pair_of_lists_is_refused(change):
    text = change(json.dumps(pair(3)))
    with pytest.raises(ValueError, match=r"cut short|not as expected|no number"):
        read(text)


def test_the_row_that_does_not_fit_is_named():
    values = pair(3)
    values[1][2] = values[1][2][:-1]
    with pytest.raises(ValueError, match=r"row 2 of verts_list \(rows of 20 x 3 numbers\)"):
        read(json.dumps(values))
