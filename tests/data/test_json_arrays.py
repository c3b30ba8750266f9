"""Long lists of numbers are read whole, or it is said what is wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.data import json_arrays
from hand_pipeline.data.json_arrays import read_rows

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
