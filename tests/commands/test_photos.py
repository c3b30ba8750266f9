"""`photos` links the user's folders, refuses what holds no photo, and never touches real files."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from hand_pipeline.commands.photos import LISTING, PHOTOS, photos


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    monkeypatch.chdir(root)
    return root


def folder_of_photos(path: Path) -> Path:
    path.mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(path / "a.jpg")
    return path


def call(*folders: Path) -> Result:
    return CliRunner().invoke(photos, [str(f) for f in folders])


def test_folders_are_linked_and_replace_the_former_links(tmp_path: Path) -> None:
    one, two = folder_of_photos(tmp_path / "one"), folder_of_photos(tmp_path / "two")
    assert call(one).exit_code == 0
    assert call(two).exit_code == 0
    assert sorted(p.name for p in PHOTOS.iterdir()) == ["linked.json", "two"]
    assert (PHOTOS / "two").resolve() == two.resolve()


def test_without_folders_links_go_and_the_users_own_files_stay(tmp_path: Path) -> None:
    call(folder_of_photos(tmp_path / "one"))
    Image.new("RGB", (40, 40)).save(PHOTOS / "mine.jpg")
    result = call()
    assert result.exit_code == 0
    assert [p.name for p in PHOTOS.iterdir()] == ["mine.jpg"]


def test_a_missing_folder_is_refused_and_the_former_links_stay(tmp_path: Path) -> None:
    call(folder_of_photos(tmp_path / "one"))
    result = call(tmp_path / "absent")
    assert result.exit_code == 1
    assert "does not exist" in result.output
    assert (PHOTOS / "one").is_symlink()


def test_a_folder_without_a_photo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("no photo")
    result = call(tmp_path / "texts")
    assert result.exit_code == 1
    assert "holds no photo" in result.output


def test_two_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    result = call(folder_of_photos(tmp_path / "a/x"), folder_of_photos(tmp_path / "b/x"))
    assert result.exit_code == 1
    assert "two folders are called x" in result.output


def test_dvc_sees_a_change_behind_a_link(tmp_path: Path) -> None:
    folder = folder_of_photos(tmp_path / "one")
    call(folder)
    before = LISTING.read_text()
    call(folder)
    assert LISTING.read_text() == before
    Image.new("RGB", (50, 50)).save(folder / "b.jpg")
    call(folder)
    assert LISTING.read_text() != before
