"""Files are written whole or not at all, also on a disk that is full."""

import errno
from pathlib import Path

import pytest

from hand_pipeline.files import DiskFullError, atomic_write, atomic_write_text, files_hash


def test_an_error_while_writing_keeps_the_former_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write_text(path, "former")

    def fail_half_way() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert path.read_text() == "former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_says_what_to_do_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(DiskFullError, match=r"Free some space"), atomic_write(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not list(tmp_path.iterdir())


def test_the_hash_of_files_knows_names_and_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("1")
    second.write_text("2")
    both = files_hash([second, first])
    assert both == files_hash([first, second])
    second.write_text("3")
    assert files_hash([first, second]) != both
