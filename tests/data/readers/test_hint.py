"""HInt: existence and occlusion, sides by name, and frames that may be missing."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.hint import write_hint

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.data.readers.hint import read_hint
from hand_pipeline.geometry.mano import ManoHand

SPLIT = "TEST_newdays_img"
EGO = "TRAIN_ego4d_img"


def files(root: Path, split: str, ending: str) -> list[Path]:
    return sorted((root / "HInt_annotation_partial" / split).glob(f"*.{ending}"))


def test_joints_that_exist_are_labelled_whether_occluded_or_not(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_hint(tmp_path, SPLIT)
    found = read_hint(tmp_path, SPLIT, mano)
    for row in range(4):
        assert np.flatnonzero(~found.flags["existence"][row]).tolist() == [20 - row]
        assert np.flatnonzero(found.flags["occluded"][row]).tolist() == list(range(row, row + 5))
    np.testing.assert_array_equal(found.has_joints_2d, found.flags["existence"])
    assert (found.joints_2d[~found.has_joints_2d] == 0).all()


def test_sides_come_from_the_name_and_boxes_are_the_sets(tmp_path: Path, mano: ManoHand) -> None:
    written = write_hint(tmp_path, SPLIT)
    found = read_hint(tmp_path, SPLIT, mano)
    assert [name[-1] for name in found.ids] == ["r", "l", "r", "l"]
    np.testing.assert_array_equal(found.is_right, written.is_right)
    np.testing.assert_array_equal(found.boxes, written.boxes)


@pytest.mark.parametrize(
    ("split", "group"),
    [(SPLIT, "newdays/ND_video1"), ("VAL_epick_img", "epick/P01_02"),
     ("VAL_ego4d_seq", "ego4d/0a1b2c3d-clip1")],
)  # fmt: skip
def test_frames_of_one_video_share_a_group(
    tmp_path: Path, mano: ManoHand, split: str, group: str
) -> None:
    write_hint(tmp_path, split)
    found = read_hint(tmp_path, split, mano)
    assert found.groups[2:] == (group, group)
    assert len(set(found.groups)) == 2


def test_a_kitchen_frame_that_names_no_video_is_its_own_group(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_hint(tmp_path, "VAL_epick_img", count=1)
    for ending in ("json", "jpg"):
        path = files(tmp_path, "VAL_epick_img", ending)[0]
        path.rename(path.with_name(f"EK_frame_0000000012_r.{ending}"))
    found = read_hint(tmp_path, "VAL_epick_img", mano)
    assert found.groups == ("epick/EK_frame_0000000012",)


@pytest.mark.parametrize("above", ["", "HInt_annotation_partial"])
def test_the_folder_and_the_one_around_it_are_found(
    tmp_path: Path, mano: ManoHand, above: str
) -> None:
    write_hint(tmp_path, SPLIT)
    found = read_hint(tmp_path / above, SPLIT, mano)
    assert all((found.root / image).is_file() for image in found.images)


def test_missing_frames_are_left_out_only_on_request_and_the_error_says_how_to_get_them(
    tmp_path: Path, mano: ManoHand
) -> None:
    """One rule for all sets: Ego4D's frames, which the zip lacks, are no exception."""
    written = write_hint(tmp_path, EGO)
    gone = files(tmp_path, EGO, "jpg")
    gone[1].unlink()
    with pytest.raises(DataSetError, match=r"1 of the 4 photos .*lacks Ego4D's: get access"):
        read_hands("hint", tmp_path, EGO, mano)
    found = read_hands("hint", tmp_path, EGO, mano, partial=True)
    np.testing.assert_array_equal(found.boxes, written.boxes[[0, 2, 3]])
    for path in (gone[0], *gone[2:]):
        path.unlink()
    with pytest.raises(DataSetError, match=r"4 of the 4 photos .*lacks Ego4D's: get access"):
        read_hands("hint", tmp_path, EGO, mano, partial=True)


def test_hands_without_a_joint_in_the_frame_are_left_out_and_counted(
    tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    write_hint(tmp_path, SPLIT)
    path = files(tmp_path, SPLIT, "json")[0]
    record = json.loads(path.read_text())[0] | {
        "existence": [0] * 21,
        "keypoints": [[None, 0]] * 21,
    }
    path.write_text(json.dumps([record]))
    with caplog.at_level(logging.INFO):
        assert len(read_hint(tmp_path, SPLIT, mano)) == 3
    assert "1 of 4 hands left out: no joint (1)" in caplog.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bbox": [[9, 9, 3, 12]]}, "expected a box x1, y1, x2, y2"),
        ({"bbox": [1, 2, 3, 4]}, r"'bbox' should be \(1, 4\)"),
        ({"existence": [1] * 20}, r"'existence' should be \(21,\)"),
        ({"occlusion": [2] * 21}, "should be 0 or 1"),
        ({"keypoints": [[None, 1.0]] * 21}, "joints_2d of 1 hands are not finite"),
    ],
)
def test_a_broken_label_is_named(
    tmp_path: Path, mano: ManoHand, change: dict[str, object], message: str
) -> None:
    write_hint(tmp_path, SPLIT)
    path = files(tmp_path, SPLIT, "json")[2]
    path.write_text(json.dumps([json.loads(path.read_text())[0] | change]))
    with pytest.raises(DataSetError, match=message) as error:
        read_hint(tmp_path, SPLIT, mano)
    assert path.stem in str(error.value)


@pytest.mark.parametrize(("content", "message"), [("[{", "cut short"), ("[]", "list of one")])
def test_a_file_of_another_form_is_named(
    tmp_path: Path, mano: ManoHand, content: str, message: str
) -> None:
    write_hint(tmp_path, SPLIT)
    files(tmp_path, SPLIT, "json")[0].write_text(content)
    with pytest.raises(DataSetError, match=message):
        read_hint(tmp_path, SPLIT, mano)


def test_another_folder_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match=r"expected HInt_annotation_partial\.zip's content"):
        read_hint(tmp_path, SPLIT, mano)
