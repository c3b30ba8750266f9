"""`check-data`: a table, a picture, one verdict, and an exit code a script can use."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from tests.fixtures.freihand import write_freihand

from hand_pipeline.commands.main import main


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    write_freihand(root, "evaluation", count=2)
    return root


def call(root: Path, *options: object) -> Result:
    return CliRunner().invoke(main, ["check-data", "freihand", str(root), *map(str, options)])


def test_a_sound_copy_ends_with_looks_right_and_a_picture(sound: Path, tmp_path: Path) -> None:
    result = call(sound, "--out", tmp_path / "hands.png", "--sample", 2)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "looks right"
    assert "3,960 (differs)" in result.output
    assert "note: not the published number of hands: evaluation." in result.output
    with Image.open(tmp_path / "hands.png") as sheet:
        assert np.ptp(np.array(sheet).reshape(-1, 3), axis=0).min() > 200


def test_faults_are_listed_and_the_exit_code_is_1(sound: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "copy"))
    (root / "evaluation/rgb/00000001.jpg").write_bytes(b"no picture")
    (root / "training_K.json").write_text("[[1.0")
    result = call(root, "--images", "all", "--out", tmp_path / "hands.png")
    assert result.exit_code == 1
    assert "evaluation: unreadable  evaluation/rgb/00000001.jpg" in result.output
    assert "wrong, 2:" in result.output
    assert "training: cannot be read" in result.output
    assert (tmp_path / "hands.png").is_file()  # the broken photo's place says why


def test_an_absent_photo_is_a_fault_unless_a_part_will_do(sound: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sound, tmp_path / "copy"))
    (root / "evaluation/rgb/00000001.jpg").unlink()
    result = call(root, "--sample", 0)
    assert result.exit_code == 1
    assert "evaluation: absent      00000001.jpg" in result.output
    assert "lacks 1 of the 2 images" in result.output
    assert "if a part of the set will do: --partial" in result.output
    result = call(root, "--sample", 0, "--partial")
    assert result.exit_code == 0
    assert "note: evaluation: " in result.output
    assert result.output.splitlines()[-1] == "looks right"


def test_a_folder_of_something_else_is_one_clear_error(tmp_path: Path) -> None:
    result = call(tmp_path)
    assert result.exit_code == 1
    assert "nothing of FreiHAND v2" in result.output
    assert "Traceback" not in result.output


def test_without_looking_at_photos_nothing_is_drawn(sound: Path, tmp_path: Path) -> None:
    result = call(sound, "--images", "none", "--out", tmp_path / "hands.png")
    assert result.exit_code == 0
    assert not (tmp_path / "hands.png").exists()
