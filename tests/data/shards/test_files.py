import multiprocessing
import tarfile
from contextlib import suppress

import pytest

from hand_pipeline.data.shards.files import INDEX_NAME, ShardError, ShardReader, ShardWriter


@pytest.fixture
def folder(tmp_path):
    with ShardWriter(tmp_path / "shards", items_per_shard=3) as writer:
        for number in range(8):
            writer.add(f"sample{number}", bytes([number]) * (number * 300 + 1), {"number": number})
    return tmp_path / "shards"


def test_every_sample_comes_back_as_it_was_written(folder):
    reader = ShardReader(folder)
    assert len(reader) == 8
    for number in (7, 0, 3, 5):
        image, meta = reader.read(number)
        assert image == bytes([number]) * (number * 300 + 1)
        assert meta == {"number": number}
        assert reader.keys[number] == f"sample{number}"


def test_any_tar_reader_finds_the_same_members(folder):
    names = []
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as archive:
            names += archive.getnames()
            assert archive.extractfile(archive.getmembers()[1]).read().startswith(b"{")
    expected = [f"sample{n}.{suffix}" for n in range(8) for suffix in ("jpg", "json")]
    assert names == expected


def test_a_long_key_is_stored_too(tmp_path):
    key = "a/" + "long_" * 60 + "ü"
    with ShardWriter(tmp_path) as writer:
        writer.add(key, b"pixels", {})
    assert ShardReader(tmp_path).read(0) == (b"pixels", {})
    with tarfile.open(tmp_path / "shard-00000.tar") as archive:
        assert archive.getnames() == [f"{key}.jpg", f"{key}.json"]


def test_same_samples_make_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        with ShardWriter(tmp_path / name) as writer:
            writer.add("key", b"pixels", {"b": 1, "a": 2})
    one, two = (ShardReader(tmp_path / name).shards for name in ("one", "two"))
    assert one == two


def test_a_second_run_leaves_no_shard_of_the_first(folder):
    with ShardWriter(folder) as writer:
        writer.add("only", b"x", {})
    assert [path.name for path in folder.glob("*.tar")] == ["shard-00000.tar"]
    assert ShardReader(folder).keys == ["only"]


def test_an_error_while_writing_leaves_no_index(tmp_path):
    with suppress(RuntimeError), ShardWriter(tmp_path, items_per_shard=1) as writer:
        writer.add("key", b"x", {})
        raise RuntimeError
    assert (tmp_path / "shard-00000.tar").exists()
    with pytest.raises(ShardError, match="did not finish; run that stage again"):
        ShardReader(tmp_path)


@pytest.mark.parametrize("key", ["", "a.b", "twice"])
def test_a_bad_key_is_refused(tmp_path, key):
    with ShardWriter(tmp_path) as writer:
        writer.add("twice", b"x", {})
        with pytest.raises(ValueError, match="unique and hold no dot"):
            writer.add(key, b"x", {})


def test_a_truncated_shard_is_named_with_what_to_do(folder):
    path = folder / "shard-00001.tar"
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(ShardError, match=r"shard-00001.tar has .* truncated .* run the stage"):
        ShardReader(folder)


def test_a_missing_shard_is_named(folder):
    (folder / "shard-00002.tar").unlink()
    with pytest.raises(ShardError, match=r"shard-00002.tar is missing"):
        ShardReader(folder)


def test_a_damaged_index_is_named(folder):
    (folder / INDEX_NAME).write_bytes(b"nonsense")
    with pytest.raises(ShardError, match=r"index.parquet cannot be read"):
        ShardReader(folder)


def test_few_open_files_suffice(folder):
    reader = ShardReader(folder, max_open=1)
    assert [reader.meta(n)["number"] for n in (0, 7, 1, 4)] == [0, 7, 1, 4]


def _numbers(reader: ShardReader) -> list[int]:
    return [reader.meta(n)["number"] for n in range(len(reader))]


@pytest.mark.parametrize("method", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_other_processes_read_from_one_reader(folder, method):
    reader = ShardReader(folder)
    reader.read(0)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_numbers, [reader, reader]) == [list(range(8))] * 2
