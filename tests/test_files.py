"""Files are written whole or not at all, also on a disk that is full."""

import errno
from pathlib import Path

import pytest

from hand_pipeline.files import DiskFullError, atomic_write, atomic_write_text


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
