"""Panoptic HandDB: validity, sides, boxes and groups as its files mean them."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.mpii_nzsl import write_mpii_nzsl

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.data.readers.mpii_nzsl import read_mpii_nzsl
from hand_pipeline.geometry.mano import ManoHand


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def labels(root: Path) -> list[Path]:
    return sorted((root / "hand_labels/manual_train").glob("*.json"))


def test_sides_come_from_is_left_and_joints_with_v_0_are_missing(
    tmp_path: Path, mano: ManoHand
) -> None:
    written = write_mpii_nzsl(tmp_path, "manual_train")
    found = read_mpii_nzsl(tmp_path, "manual_train", mano)
    np.testing.assert_array_equal(found.is_right, written.is_right)
    for row in range(4):
        missing = np.flatnonzero(~found.has_joints_2d[row])
        assert missing.tolist() == [20 - row]
        assert (found.joints_2d[row, missing] == 0).all()


def test_a_v_of_2_is_not_labelled_and_its_place_does_not_widen_the_box(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_mpii_nzsl(tmp_path, "manual_train")
    before = read_mpii_nzsl(tmp_path, "manual_train", mano)
    points = json.loads(labels(tmp_path)[0].read_text())["hand_pts"]
    points[20] = [5000.0, 5000.0, 2]
    edit(labels(tmp_path)[0], hand_pts=points)
    found = read_mpii_nzsl(tmp_path, "manual_train", mano)
    assert not found.has_joints_2d[0, 20]
    np.testing.assert_array_equal(found.boxes, before.boxes)


def test_the_evaluation_box_is_2_2_extents_wide_around_the_given_centre(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_mpii_nzsl(tmp_path, "manual_test")
    edit(sorted((tmp_path / "hand_labels/manual_test").glob("*.json"))[0], hand_box_center=[90, 80])
    found = read_mpii_nzsl(tmp_path, "manual_test", mano)
    extent = (found.boxes[0, 2:] - found.boxes[0, :2]).max()
    box = found.flags["evaluation_box"][0]
    np.testing.assert_allclose(box[2:] - box[:2], 2.2 * extent, rtol=1e-5)
    np.testing.assert_allclose((box[:2] + box[2:]) / 2, [90, 80], rtol=1e-5)


def test_hands_of_one_mpii_photo_share_a_group_and_have_its_head(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_mpii_nzsl(tmp_path, "manual_train", count=8)
    found = read_mpii_nzsl(tmp_path, "manual_train", mano)
    assert found.groups[0] == found.groups[1] == "000015774.jpg"
    assert len(set(found.groups)) == 6  # two photos of two, and four by themselves
    assert found.flags["head_size"].tolist() == [30, 30, 0, 0, 30, 30, 0, 0]


def test_synth_is_all_four_rendered_parts(tmp_path: Path, mano: ManoHand) -> None:
    write_mpii_nzsl(tmp_path, "synth", count=8)
    found = read_mpii_nzsl(tmp_path, "synth", mano)
    parts = [read_mpii_nzsl(tmp_path, f"synth{i}", mano) for i in (1, 2, 3, 4)]
    assert found.ids == tuple(name for part in parts for name in part.ids)
    assert [len(part) for part in parts] == [2, 2, 2, 2]


def test_splits_share_one_root(tmp_path: Path, mano: ManoHand) -> None:
    for split in ("manual_train", "hand143"):
        write_mpii_nzsl(tmp_path, split)
    assert read_mpii_nzsl(tmp_path, "hand143", mano).is_right.all()
    assert not read_mpii_nzsl(tmp_path, "manual_train", mano).is_right.all()


def test_hands_without_a_labelled_joint_are_left_out_and_counted(
    tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    write_mpii_nzsl(tmp_path, "manual_train")
    edit(labels(tmp_path)[0], hand_pts=[[0, 0, 0]] * 21)
    edit(labels(tmp_path)[2], hand_pts=[[50, 50, 1]] + [[0, 0, 0]] * 20)
    with caplog.at_level(logging.INFO):
        found = read_mpii_nzsl(tmp_path, "manual_train", mano)
    assert len(found) == 2
    assert "2 of 4 hands left out: no labelled joint (1), box of less than a pixel (1)" in (
        caplog.text
    )


def test_a_missing_photo_is_named(tmp_path: Path, mano: ManoHand) -> None:
    write_mpii_nzsl(tmp_path, "hand143")
    (tmp_path / "hand143_panopticdb/imgs/00000002.jpg").unlink()
    with pytest.raises(DataSetError, match=r"1 of the 4 photos .*imgs/00000002\.jpg"):
        read_hands("mpii_nzsl", tmp_path, "hand143", mano)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"hand_pts": [[1, 2', "cut short"),
        ("{}", "lacks 'hand_pts'"),
        ('{"hand_pts": [[1, 2, 1]]}', r"should be \(21, 3\) numbers"),
        ('{"hand_pts": [[1, 2, 1], [1]]}', "ragged"),
        (json.dumps({"hand_pts": [["a", "b", "c"]] * 21}), r"should be \(21, 3\) numbers"),
        (json.dumps({"hand_pts": [[1, 2, 1]] * 21}), "lacks 'is_left'"),
        (json.dumps({"hand_pts": [[None, 2, 1]] * 21, "is_left": 0}), "not finite"),
    ],
)
def test_a_broken_label_file_is_named(
    tmp_path: Path, mano: ManoHand, content: str, message: str
) -> None:
    write_mpii_nzsl(tmp_path, "manual_train")
    labels(tmp_path)[1].write_text(content)
    with pytest.raises(DataSetError, match=message) as error:
        read_mpii_nzsl(tmp_path, "manual_train", mano)
    assert labels(tmp_path)[1].stem in str(error.value)


def test_another_folder_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match=r"expected NAME\.json beside NAME\.jpg"):
        read_mpii_nzsl(tmp_path, "manual_train", mano)
    with pytest.raises(DataSetError, match=r"no .*hands_v143_14817\.json"):
        read_mpii_nzsl(tmp_path, "hand143", mano)
