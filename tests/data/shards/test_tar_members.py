"""Files in tars are found once and read in place."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hand_pipeline.data.photos.files import BadPhoto, load_photo
from hand_pipeline.data.shards.tar_members import is_member, list_members, read_member

CONTENTS = {"a.txt": b"one", "folder/b.jpg": b"two and more", "x" * 150 + ".png": b"", "c": b"3"}


def write_tar(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def test_members_are_read_by_their_names_alone(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "000000.tar", CONTENTS)
    members = list_members(tar)
    assert [member.name for member in members] == list(CONTENTS)
    for member in members:
        assert read_member(member.path_in(str(tar))) == CONTENTS[member.name]
        assert read_member(tmp_path / member.path_in(tar.name)) == CONTENTS[member.name]


def test_only_names_of_members_are_taken_for_them(tmp_path: Path) -> None:
    assert is_member("a.tar::b.jpg@512+3")
    for name in ("a.tar", "a.jpg", "a.tar/b.jpg@512+3", "a.tar::b.jpg", "a.tar::b.jpg@-1+3"):
        assert not is_member(name)
        with pytest.raises(ValueError, match="does not name a file in a tar"):
            read_member(name)


def test_a_photo_in_a_tar_is_loaded_as_one_on_disk(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, "PNG")
    tar = write_tar(tmp_path / "0.tar", {"a.pyd": b"labels", "a.png": encoded.getvalue()})
    name = list_members(tar)[1].path_in(tar.name)
    np.testing.assert_array_equal(load_photo(tmp_path / name), picture)


def test_a_tar_that_ends_early_gives_a_bad_photo_or_an_error(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "0.tar", {"a.jpg": bytes(5000), "b.jpg": bytes(5000)})
    names = [tmp_path / member.path_in(tar.name) for member in list_members(tar)]
    tar.write_bytes(tar.read_bytes()[:8000])
    with pytest.raises(ValueError, match=r"0\.tar .*cut short"):
        list_members(tar)
    with pytest.raises(BadPhoto) as caught:
        load_photo(names[1])
    assert caught.value.reason == "truncated"
    tar.unlink()
    with pytest.raises(BadPhoto) as caught:
        load_photo(names[1])
    assert caught.value.reason == "unreadable"


def test_what_is_no_tar_is_named(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"version https://git-lfs.github.com" * 50)
    with pytest.raises(ValueError, match=r"0\.tar is no tar file"):
        list_members(tmp_path / "0.tar")
