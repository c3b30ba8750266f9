"""Photos that COCO lists for a folder, for the collection."""

from pathlib import Path

import pytest
from tests.fixtures.coco_unlabeled import write_coco_unlabeled
from tests.fixtures.coco_wholebody import write_coco_wholebody

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.coco_unlabeled import coco_listing


def info(root: Path) -> Path:
    return root / "annotations/image_info_unlabeled2017.json"


def test_every_listed_photo_is_found_in_order(tmp_path: Path) -> None:
    photos = write_coco_unlabeled(tmp_path, 2)
    assert coco_listing(tmp_path / "unlabeled2017") == (info(tmp_path), photos, [])


def test_files_with_annotations_list_photos_too(tmp_path: Path) -> None:
    write_coco_wholebody(tmp_path, "train", 3)
    path = tmp_path / "annotations/coco_wholebody_train_v1.0.json"
    instances = path.rename(path.with_name("instances_train2017.json"))
    found = coco_listing(tmp_path / "train2017")
    assert found is not None
    assert found.path == instances
    assert [photo.name for photo in found.photos] == ["000000000009.jpg", "000000000025.jpg"]


def test_missing_photos_are_named_and_unlisted_ones_ignored(tmp_path: Path) -> None:
    photos = write_coco_unlabeled(tmp_path, 2)
    photos[0].rename(photos[0].with_name("other.jpg"))
    found = coco_listing(tmp_path / "unlabeled2017")
    assert found == (info(tmp_path), photos[1:], [photos[0].name])


def test_a_folder_without_a_list_is_compared_with_nothing(tmp_path: Path) -> None:
    write_coco_unlabeled(tmp_path, 1)
    assert coco_listing(tmp_path / "train2017") is None


def test_a_list_of_other_photos_is_an_error(tmp_path: Path) -> None:
    [photo] = write_coco_unlabeled(tmp_path, 1)
    photo.unlink()
    with pytest.raises(DataSetError, match=r"none of the 1 photos .* example 000000000001\.jpg"):
        coco_listing(tmp_path / "unlabeled2017")


def test_another_json_file_is_refused(tmp_path: Path) -> None:
    write_coco_unlabeled(tmp_path, 1)
    info(tmp_path).write_text("[1, 2]")
    with pytest.raises(DataSetError, match="no list of images"):
        coco_listing(tmp_path / "unlabeled2017")
