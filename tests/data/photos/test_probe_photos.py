from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.probe_photos import read_probe_photos

HEADER = "file,set,width,height,group,label,hand_boxes,thumb_tip,index_tip,sha256\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A box of red in a grey photo, and a photo that is all hand."""
    photo = np.full((60, 80, 3), 128, np.uint8)
    photo[20:40, 30:50] = (255, 0, 0)
    Image.fromarray(photo).save(tmp_path / "a.png")
    Image.fromarray(photo[:, :60]).save(tmp_path / "b.png")
    (tmp_path / "manifest.csv").write_text(
        HEADER
        + 'a.png,tips,80,60,block0,,"30,20,50,40","30,20","45,35",x\n'
        + "b.png,signs,60,60,student7,4,,,,x\n"
    )
    return tmp_path


def test_crops_are_squares_around_the_boxes_and_points_lie_in_them(folder: Path) -> None:
    photos = read_probe_photos(folder, "tips", crop_size=32, crop_scale=2.0)
    crop = photos[0].numpy()
    assert crop.shape == (3, 32, 32)
    assert (crop[:, 10:22, 10:22] == np.array([255, 0, 0])[:, None, None]).all()  # the middle half
    assert (crop[:, :6] == 128).all()
    np.testing.assert_allclose(photos.tips[0], [[0.25, 0.25], [0.625, 0.625]])
    assert photos.labels.tolist() == [-1]


def test_a_photo_without_a_box_is_taken_whole(folder: Path) -> None:
    photos = read_probe_photos(folder, "signs", crop_size=60, crop_scale=2.0)
    assert photos.squares.tolist() == [[0, 0, 60]]
    assert (photos.labels.tolist(), photos.groups) == ([4], ("student7",))
    assert np.isnan(photos.tips).all()
    assert photos[0].shape == (3, 60, 60)


def test_what_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(DataSetError, match="no set 'faces'; it has: signs, tips"):
        read_probe_photos(folder, "faces", 32)
    (folder / "b.png").unlink()
    with pytest.raises(DataSetError, match=r"1 photos of signs are not there: .*b\.png"):
        read_probe_photos(folder, "signs", 32)
    (folder / "manifest.csv").write_text("file,set\n")
    with pytest.raises(DataSetError, match="no column width, height, group, label, hand_boxes"):
        read_probe_photos(folder, "signs", 32)
    with pytest.raises(DataSetError, match=r"no manifest\.csv"):
        read_probe_photos(folder / "elsewhere", "signs", 32)
