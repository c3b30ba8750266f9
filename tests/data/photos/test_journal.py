import pytest

from hand_pipeline.data.photos.journal import Journal


@pytest.fixture
def filled(tmp_path):
    journal = Journal(tmp_path)
    journal.add("one", {"hands": 2}, [b"first", b"second"])
    journal.add("two", {"reason": "empty"})
    journal.add("three", {"hands": 1}, [b"third"])
    journal.close()
    return tmp_path


def test_what_was_added_is_there_after_opening_again(filled):
    journal = Journal(filled)
    assert len(journal) == 3
    assert journal.result("two") == {"reason": "empty"}
    assert [journal.blob("one", n) for n in (1, 0)] == [b"second", b"first"]
    assert journal.blob("three", 0) == b"third"
    assert "four" not in journal


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_line_cut_by_a_kill_is_forgotten_and_can_be_added_again(filled, cut):
    path = filled / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    journal = Journal(filled)
    assert "two" in journal
    assert "three" not in journal
    journal.add("three", {"hands": 1}, [b"again"])
    journal.close()
    again = Journal(filled)
    assert again.blob("three", 0) == b"again"
    assert again.blob("one", 0) == b"first"


def test_a_record_whose_blob_was_lost_is_forgotten(filled):
    path = filled / "blobs.bin"
    path.write_bytes(path.read_bytes()[:-2])
    journal = Journal(filled)
    assert "one" in journal
    assert "three" not in journal
