"""Records come one at a time, and a broken file says where."""

import json
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers import json_records
from hand_pipeline.data.readers.json_records import field, load_json, numbers, stream_records

CONTENT = {
    "info": {"annotations": [1, 2], "year": 2020},
    "images": [{"id": 1, "name": "ä ]},"}, {"id": 2, "name": ""}],
    "count": 12345,
    "annotations": [{"v": [[1.5, -2e-3]], "id": 10}, {}],
    "categories": [],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "labels.json").write_text(json.dumps(CONTENT))
    return tmp_path / "labels.json"


@pytest.mark.parametrize("piece", [1, 10, 1 << 20])
def test_records_stream_in_the_files_order(
    path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(json_records, "_PIECE", piece)
    found = list(stream_records(path, ("images", "annotations", "categories")))
    assert found == [
        *(("images", record) for record in CONTENT["images"]),
        *(("annotations", record) for record in CONTENT["annotations"]),
    ]


def test_a_list_that_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(DataSetError, match=r"labels\.json lacks the list\(s\) people"):
        list(stream_records(path, ("images", "people")))
    with pytest.raises(DataSetError, match=r"lacks the list\(s\) count"):
        list(stream_records(path, ("count",)))


@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_a_file_cut_short_anywhere_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(json_records, "_PIECE", piece)
    text = path.read_text()
    for end in range(len(text)):
        path.write_text(text[:end])
        with pytest.raises(DataSetError, match=r"labels\.json is cut short or no JSON"):
            list(stream_records(path, ("images", "annotations")))


def test_an_error_early_in_a_long_file_does_not_read_all_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a slip at the start of gigabytes of labels would fill the memory first."""
    monkeypatch.setattr(json_records, "_PIECE", 1 << 17)
    read: list[int] = []
    more = json_records._Text._more

    def counted(text: json_records._Text) -> bool:
        read.append(1)
        return more(text)

    monkeypatch.setattr(json_records._Text, "_more", counted)
    path.write_text('{"images": [{"id": oops}, ' + "1, " * 500_000)
    with pytest.raises(DataSetError, match="cut short or no JSON"):
        list(stream_records(path, ("images",)))
    assert len(read) == 1


def test_numbers_are_checked_against_their_shape() -> None:
    record = {"a": [[1, 2.5]], "text": [["x", "y"]], "gap": [[1, None]], "bool": [[True, False]]}
    np.testing.assert_array_equal(numbers(record, "a", (1, 2), "here"), [[1.0, 2.5]])
    np.testing.assert_array_equal(numbers(record, "gap", (1, 2), "here"), [[1.0, np.nan]])
    np.testing.assert_array_equal(numbers(record, "bool", (1, 2), "here"), [[1.0, 0.0]])
    for key, shape, message in (
        ("a", (2, 1), r"here: 'a' should be \(2, 1\) numbers, but is \(1, 2\)"),
        ("text", (1, 2), "here: 'text' should be"),
        ("gap", (2,), "here: 'gap' should be"),
        ("b", (1,), "here lacks 'b'"),
    ):
        with pytest.raises(DataSetError, match=message):
            numbers(record, key, shape, "here")
    with pytest.raises(DataSetError, match="ragged"):
        numbers({"a": [[1], [1, 2]]}, "a", (2, 2), "here")
    with pytest.raises(DataSetError, match="no number"):
        numbers({"a": ["x", None]}, "a", (2,), "here")


def test_what_is_no_object_has_no_fields() -> None:
    with pytest.raises(DataSetError, match=r"here lacks 'id' \(it has a list\)"):
        field([1], "id", "here")


@pytest.mark.parametrize("content", [b"", b"[1,", b"\xff\xfe"])
def test_a_small_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "one.json").write_bytes(content)
    with pytest.raises(DataSetError, match=r"one\.json is cut short or no JSON"):
        load_json(tmp_path / "one.json")
    with pytest.raises(DataSetError, match=r"no .*two\.json"):
        load_json(tmp_path / "two.json")
