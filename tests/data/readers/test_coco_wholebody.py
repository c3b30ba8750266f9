"""COCO-WholeBody: invalid hands, float scores, boxes, and broken files."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.coco_wholebody import write_coco_wholebody
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.coco_wholebody import read_coco_wholebody
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand

COUNT = 3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("coco")
    return root, write_coco_wholebody(root, "val", COUNT)


Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def read(
    written: tuple[Path, FixtureHands], mano: ManoHand, tmp_path: Path
) -> Callable[[Change], HandManifest]:
    """Read the file after a change to its content; the photos are shared."""
    (tmp_path / "val2017").symlink_to(written[0] / "val2017")
    text = labels(written[0]).read_text()

    def changed(change: Change) -> HandManifest:
        content = json.loads(text)
        change(content)
        labels(tmp_path).parent.mkdir(exist_ok=True)
        labels(tmp_path).write_text(json.dumps(content))
        return read_coco_wholebody(tmp_path, "val", mano)

    return changed


def labels(root: Path) -> Path:
    return root / "annotations/coco_wholebody_val_v1.0.json"


def test_both_hands_of_a_person_are_rows(
    written: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    root, hands = written
    found = read_coco_wholebody(root, "val", mano)
    first = "val/000000000139/0"
    assert found.ids == (f"{first}_r", f"{first}_l", "val/000000000155/0_r")
    assert found.groups[0] == found.groups[1] != found.groups[2]
    np.testing.assert_array_equal(found.is_right, [True, False, True])
    np.testing.assert_allclose(found.boxes, hands.boxes, atol=1e-3)
    assert not found.has_intrinsics.any()
    assert not found.has_joints_3d.any()


def test_unlabelled_joints_are_missing_and_fractions_count(
    written: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    found = read_coco_wholebody(written[0], "val", mano)
    np.testing.assert_array_equal(found.has_joints_2d.sum(1), [20] * COUNT)
    assert not found.joints_2d[~found.has_joints_2d].any()
    scores = found.flags["score"]
    assert ((scores > 0) & (scores < 1)).any()
    np.testing.assert_array_equal(found.has_joints_2d, scores > 0)


def test_hands_left_out_are_counted(
    written: tuple[Path, FixtureHands], mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        read_coco_wholebody(written[0], "val", mano)
    # the crowd's two and the last person's left hand
    assert "3 of 6 hands left out: marked invalid (3)" in caplog.text


def test_a_hand_marked_invalid_is_left_out_whatever_it_holds(
    read: Callable[[Change], HandManifest],
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["righthand_valid"] = False

    assert read(change).ids[0] == "val/000000000139/0_l"


def test_a_valid_hand_without_joints_is_left_out(
    read: Callable[[Change], HandManifest], caplog: pytest.LogCaptureFixture
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["righthand_kpts"] = [0] * 63

    with caplog.at_level(logging.INFO):
        assert len(read(change)) == COUNT - 1
    assert "no labelled joint (1)" in caplog.text


def test_without_a_box_of_the_set_it_is_tight_around_the_joints(
    read: Callable[[Change], HandManifest],
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0]["righthand_box"] = [0.0] * 4

    found = read(change)
    seen = found.joints_2d[0][found.has_joints_2d[0]]
    np.testing.assert_array_equal(found.boxes[0], [*seen.min(0), *seen.max(0)])


def set_of(field: str, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["annotations"][0][field] = value

    return change


def drop_valid(content: dict[str, Any]) -> None:
    del content["annotations"][0]["lefthand_valid"]


def without_kpts(content: dict[str, Any]) -> None:
    content["annotations"][0] |= {"lefthand_valid": True}
    del content["annotations"][0]["lefthand_kpts"]


def drop_images(content: dict[str, Any]) -> None:
    del content["images"]


def drop_name(content: dict[str, Any]) -> None:
    del content["images"][1]["file_name"]


def all_invalid(content: dict[str, Any]) -> None:
    for entry in content["annotations"]:
        entry["lefthand_valid"] = entry["righthand_valid"] = False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_of("righthand_kpts", [1.0] * 62), "righthand_kpts of annotation 183000 is a list of"),
        (set_of("righthand_kpts", None), "is NoneType; expected 63 numbers"),
        (set_of("righthand_kpts", [*[1.0] * 62, "x"]), "expected 63 numbers"),
        (set_of("righthand_kpts", [float("nan"), 1.0, 1.0] * 21), "not finite"),
        (set_of("righthand_box", [1.0, 2.0]), r"righthand_box of annotation 183000"),
        (set_of("image_id", 7), "image 7, which is not in its list"),
        (drop_valid, "has no lefthand_valid; expected COCO-WholeBody"),
        (drop_images, "no list of images"),
        (drop_name, "image 1 lacks its id or file_name"),
        (all_invalid, "none of the 6 hands of its 3 annotations is labelled"),
        (set_of("righthand_box", [1.0, 2.0, float("nan"), 4.0]), "righthand_box .* is not finite"),
        (set_of("righthand_box", [1.0, 2.0, None, 4.0]), "a list of 4, some null or text"),
        (without_kpts, "lefthand_kpts .* is not there: .*Download it again"),
    ],
)
def test_a_broken_annotation_says_how(
    read: Callable[[Change], HandManifest], change: Change, message: str
) -> None:
    with pytest.raises(DataSetError, match=message):
        read(change)


def test_a_file_cut_short_is_refused(
    written: tuple[Path, FixtureHands], mano: ManoHand, tmp_path: Path
) -> None:
    text = labels(written[0]).read_text()
    labels(tmp_path).parent.mkdir()
    labels(tmp_path).write_text(text[: len(text) // 2])
    with pytest.raises(DataSetError, match=r"val_v1\.0\.json is cut short or no JSON"):
        read_coco_wholebody(tmp_path, "val", mano)


def test_a_folder_too_deep_is_told(written: tuple[Path, FixtureHands], mano: ManoHand) -> None:
    """The file may lie beside the photos' folders, so `annotations` looks like the set's folder."""
    with pytest.raises(DataSetError, match=rf"it is in {written[0]}: is that folder meant"):
        read_hands("coco_wholebody", written[0] / "annotations", "val", mano)


def test_annotations_of_another_kind_are_refused(
    written: tuple[Path, FixtureHands], mano: ManoHand, tmp_path: Path
) -> None:
    path = tmp_path / "annotations/coco_wholebody_val_v1.0.json"
    path.parent.mkdir()
    content = json.loads((written[0] / "annotations" / path.name).read_text())
    path.write_text(json.dumps(content | {"annotations": None}))
    with pytest.raises(DataSetError, match=rf"{path}: annotations is NoneType, not a list"):
        read_coco_wholebody(tmp_path, "val", mano)


def test_the_file_may_lie_beside_the_photos(
    written: tuple[Path, FixtureHands], mano: ManoHand, tmp_path: Path
) -> None:
    for path in (labels(written[0]), written[0] / "val2017"):
        (tmp_path / path.name).symlink_to(path)
    assert len(read_coco_wholebody(tmp_path, "val", mano)) == COUNT
    with pytest.raises(DataSetError, match="expected coco_wholebody_train"):
        read_coco_wholebody(tmp_path, "train", mano)
