"""Sheets of small images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hand_pipeline.viz.sheet import photo_sheet


def test_a_photo_sheet_shows_the_first_files_row_by_row(tmp_path: Path) -> None:
    greys = [20, 60, 100, 140, 180, 220, 250]
    for number, grey in enumerate(greys):
        Image.new("L", (40, 30), grey).save(tmp_path / f"{number:02}.jpg")
    (tmp_path / "notes.txt").write_text("no image")
    shown = np.array(photo_sheet(tmp_path, columns=3, rows=2, side=8)).astype(int)
    assert shown.shape == (16, 24, 3)
    centres = shown[4::8, 4::8, 0].ravel()
    assert np.abs(centres - greys[:6]).max() <= 2  # JPEG


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="draw some first"):
        photo_sheet(tmp_path)
