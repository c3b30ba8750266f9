"""Halpe: where the hands are among 136 points, people apart from objects, scores."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.halpe import write_halpe
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.halpe import LEAST_SCORE, read_halpe
from hand_pipeline.geometry.mano import ManoHand

COUNT = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("halpe")
    return root, write_halpe(root, "train", COUNT)


def labels(root: Path) -> Path:
    return root / "annotations/halpe_train_v1.json"


def test_the_left_hand_is_joint_94_and_the_right_one_joint_115(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    person = json.loads(labels(tmp_path).read_text())["annotations"][0]
    points = np.array(person["keypoints"]).reshape(136, 3)
    assert not points[:94].any()
    found = read_halpe(tmp_path, "train", mano)
    for row, first in ((0, 115), (1, 94)):
        np.testing.assert_allclose(found.joints_2d[row], points[first : first + 21, :2], atol=1e-4)
    np.testing.assert_array_equal(found.is_right, [True, False, True])
    first = "train/HICO_train2015_00000001/0"
    assert found.ids[:2] == (f"{first}_r", f"{first}_l")
    assert found.images[0] == "hico_20160224_det/images/train2015/HICO_train2015_00000001.jpg"


def test_objects_without_keypoints_are_no_people(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    entries = json.loads(labels(tmp_path).read_text())["annotations"]
    assert sum("keypoints" not in entry for entry in entries) == 2
    assert len(read_halpe(tmp_path, "train", mano)) == COUNT


def test_joints_of_low_score_are_not_labelled(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    content = json.loads(labels(tmp_path).read_text())
    points = np.array(content["annotations"][0]["keypoints"]).reshape(136, 3)
    points[115:136, 2] = 0.0
    points[115:119, 2] = [LEAST_SCORE - 0.01, LEAST_SCORE, 0.9, 1.0]
    points[115:119, :2] = [[5.0, 5.0], [100.0, 100.0], [120.0, 110.0], [110.0, 150.0]]
    content["annotations"][0]["keypoints"] = points.ravel().tolist()
    labels(tmp_path).write_text(json.dumps(content))
    found = read_halpe(tmp_path, "train", mano)
    np.testing.assert_array_equal(np.flatnonzero(found.has_joints_2d[0]), [1, 2, 3])
    np.testing.assert_array_equal(found.boxes[0], [100, 100, 120, 150])
    every = read_halpe(tmp_path, "train", mano, least_score=0.0)
    np.testing.assert_array_equal(np.flatnonzero(every.has_joints_2d[0]), [0, 1, 2, 3])


def test_a_hand_of_a_single_joint_has_no_box_and_is_left_out(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    content = json.loads(labels(tmp_path).read_text())
    points = np.array(content["annotations"][0]["keypoints"]).reshape(136, 3)
    points[115:136] = 0.0
    points[120] = [50.0, 60.0, 1.0]
    content["annotations"][0]["keypoints"] = points.ravel().tolist()
    labels(tmp_path).write_text(json.dumps(content))
    assert read_halpe(tmp_path, "train", mano).ids[0].endswith("0_l")


def test_scores_of_0_throughout_are_told_as_such(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    content = json.loads(labels(tmp_path).read_text())
    for entry in content["annotations"]:
        if isinstance(entry.get("keypoints"), list):
            entry["keypoints"][2::3] = [0] * 136
    labels(tmp_path).write_text(json.dumps(content))
    with pytest.raises(DataSetError, match=r"no joint with a v of 0\.35 or more \(\d\); is it an"):
        read_halpe(tmp_path, "train", mano)


def test_another_number_of_points_is_refused(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    content = json.loads(labels(tmp_path).read_text())
    content["annotations"][0]["keypoints"] = [0.0] * 51
    labels(tmp_path).write_text(json.dumps(content))
    with pytest.raises(DataSetError, match="annotation 0 is a list of 51; expected 408 numbers"):
        read_halpe(tmp_path, "train", mano)


def test_another_folder_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match=r"expected Halpe-FullBody's halpe_val_v1\.json"):
        read_halpe(tmp_path, "val", mano)
