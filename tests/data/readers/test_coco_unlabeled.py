"""Photos that a COCO file lists, for the collection."""

import logging
from pathlib import Path

import pytest

from hand_pipeline.data.fixtures.coco_unlabeled import write_coco_unlabeled
from hand_pipeline.data.fixtures.coco_wholebody import write_coco_wholebody
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.coco_unlabeled import coco_images


def info(root: Path) -> Path:
    return root / "annotations/image_info_unlabeled2017.json"


def test_every_listed_photo_is_found_in_order(tmp_path: Path) -> None:
    photos = write_coco_unlabeled(tmp_path, 2)
    assert coco_images(info(tmp_path), tmp_path / "unlabeled2017") == photos


def test_files_with_annotations_list_photos_too(tmp_path: Path) -> None:
    write_coco_wholebody(tmp_path, "train", 3)
    path = tmp_path / "annotations/coco_wholebody_train_v1.0.json"
    found = coco_images(path, tmp_path / "train2017")
    assert [photo.name for photo in found] == ["000000000009.jpg", "000000000025.jpg"]


def test_missing_photos_are_counted_and_unlisted_ones_ignored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photos = write_coco_unlabeled(tmp_path, 2)
    photos[0].rename(photos[0].with_name("other.jpg"))
    with caplog.at_level(logging.INFO):
        assert coco_images(info(tmp_path), tmp_path / "unlabeled2017") == photos[1:]
    assert "1 of 2 photos are missing" in caplog.text


def test_the_wrong_folder_is_an_error(tmp_path: Path) -> None:
    write_coco_unlabeled(tmp_path, 1)
    with pytest.raises(DataSetError, match=r"none of the 1 photos .* example 000000000001\.jpg"):
        coco_images(info(tmp_path), tmp_path / "train2017")


def test_another_json_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[1, 2]")
    with pytest.raises(DataSetError, match="no list of images"):
        coco_images(path, tmp_path)
