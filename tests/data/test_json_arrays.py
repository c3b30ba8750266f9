"""Lists of numbers in pieces: the same as json, and nothing that json would not read."""

import io
import json

import numpy as np
import pytest

from hand_pipeline.data import json_arrays
from hand_pipeline.data.json_arrays import iter_lists, read_lists, read_rows

PAIR = [(21, 3), (-1, 3)]
NAMES = ["xyz_list", "verts_list"]


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


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 2, 3)])
@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_of_any_shape_and_number_are_read(piece, tmp_path, shape, count):
    values = np.random.default_rng(0).normal(size=(count, *shape))
    path = tmp_path / "rows.json"
    path.write_text(f" {json.dumps(values.tolist(), indent=1)}\n")
    found = read_rows(path, shape, np.float64)
    assert found.shape == (count, *shape)
    np.testing.assert_array_equal(found, values)


def test_unusual_numbers_are_numbers(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text("[1, -0.0, 1e-7, 2.5E+3, NaN, -Infinity]")
    expected = [1, 0, 1e-7, 2500, np.nan, -np.inf]
    np.testing.assert_array_equal(read_rows(path, (), np.float64), expected)


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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[1, 2], [3, 4, 5], [6]]", "ragged"),  # as many numbers and brackets as if it were not
        ("[[1, 2], [3", "cut short"),
        ("[[1, 2, 3]]", r"expected \(2,\) numbers a row, got \(3,\)"),
        ("[[1, 2], [3, null]]", "not as expected, near"),
    ],
)
def test_a_broken_list_says_how(tmp_path, text, message):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(ValueError, match=rf"rows\.json: .*{message}"):
        read_rows(tmp_path / "rows.json", (2,))


def test_the_row_that_does_not_fit_is_named():
    values = pair(3)
    values[1][2] = values[1][2][:-1]
    with pytest.raises(ValueError, match=r"row 2 of verts_list \(rows of 20 x 3 numbers\)"):
        read(json.dumps(values))
