"""HaMeR's training tars: read in place, through the restricted pickle reader, filtered as there."""

import logging
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.hamer_tars import (
    add_file,
    hand_record,
    pickled,
    write_hamer_tars,
)
from tests.fixtures.scene import FixtureHands, make_hands

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.files import load_photo
from hand_pipeline.data.readers.hamer_tars import read_hamer_tars
from hand_pipeline.geometry.mano import ManoHand


@pytest.fixture(scope="module")
def hands() -> FixtureHands:
    return make_hands(2, (320, 240), sides="both")


def write(root: Path, *samples: tuple[str, bytes]) -> None:
    (root / "set").mkdir(exist_ok=True)
    with tarfile.open(root / "set/000000.tar", "w") as archive:
        for name, content in samples:
            add_file(archive, name, content)


def test_hands_of_all_tars_come_in_order_with_photos_left_inside(
    tmp_path: Path, mano: ManoHand
) -> None:
    hands = write_hamer_tars(tmp_path, "train", 4)
    before = sorted(tmp_path.rglob("*"))
    found = read_hamer_tars(tmp_path, "train", mano)
    assert found.ids == tuple(f"freihand-train/00000{row // 3}/{row:08d}_0" for row in range(4))
    assert found.is_right.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found.boxes, hands.boxes, atol=1e-3)
    assert load_photo(tmp_path / found.images[3]).shape == (240, 320, 3)
    images = HandImages(found, mano)
    batch = images.collate([images[row] for row in range(4)])
    mirrored = hands.vertices[1] * [-1, 1, 1]
    np.testing.assert_allclose(batch.vertices[1].numpy(), mirrored, atol=1e-5)
    assert sorted(tmp_path.rglob("*")) == before
    assert len(read_hamer_tars(tmp_path / "freihand-train", "train", mano)) == 4


def test_several_hands_share_a_photo_and_detections_are_passed_over(
    tmp_path: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    records = [hand_record(hands, 0), hand_record(hands, 1)]
    write(
        tmp_path,
        ("dir/7.png", b"photo"),
        ("dir/7.detection.npz", b"masks"),
        ("dir/7.data.pyd", pickled(records)),
    )
    found = read_hamer_tars(tmp_path, "train", mano)
    assert found.ids == ("set/000000/dir/7_0", "set/000000/dir/7_1")
    assert found.images[0] == found.images[1]
    assert found.groups[0] == found.groups[1]


def test_weak_joints_bad_fits_and_odd_shapes_are_treated_as_in_hamers_training(
    tmp_path: Path, hands: FixtureHands, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    changes: list[dict[str, Any]] = [{} for _ in range(6)]
    weak = hand_record(hands, 0)["keypoints_2d"].copy()
    weak[[3, 5], 2] = 0.29, 0.31
    changes[0]["keypoints_2d"] = weak
    few = weak.copy()
    few[4:, 2] = 0
    changes[1]["keypoints_2d"] = few
    changes[2]["betas"] = np.array([3.5] + [0.0] * 9)
    changes[3]["has_hand_pose"] = np.array(0.0)
    changes[4]["extra_info"] = {"fitting_loss": np.array({"reprojection_loss": 4e4}, object)}
    changes[5]["extra_info"] = {"fitting_loss": np.array({}, object), "detection_npz_idx": 0}
    records = [hand_record(hands, 0) | change for change in changes]
    write(tmp_path, ("7.jpg", b"photo"), ("7.data.pyd", pickled(records)))
    with caplog.at_level(logging.INFO):
        found = read_hamer_tars(tmp_path, "train", mano)
    assert [name[-1] for name in found.ids] == ["0", "2", "3", "5"]
    assert "2 of 6 hands left out: fewer than 5 joints (1), badly fitted (1)" in caplog.text
    assert np.flatnonzero(~found.has_joints_2d[0]).tolist() == [3]
    assert (found.joints_2d[0, 3] == 0).all()
    assert found.has_mano.tolist() == [True, False, False, True]
    assert (found.mano_pose[2] == 0).all()


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_a_command_is_refused_and_not_run(
    tmp_path: Path, mano: ManoHand
) -> None:
    mark = tmp_path / "was_run"
    write(tmp_path, ("7.jpg", b"photo"), ("7.data.pyd", pickled([Attack(mark)])))
    with pytest.raises(DataSetError, match=r"000000\.tar::7\.data\.pyd asks for posix\.system"):
        read_hamer_tars(tmp_path, "train", mano)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no pickle", r"7\.data\.pyd is not a pickle"),
        (pickled({"betas": 1}), "expected a list of dictionaries"),
        (pickled([{"betas": np.zeros(10)}]), r"hand 0 has no keypoints_2d, .*it has betas"),
    ],
)
def test_a_broken_label_file_is_named(
    tmp_path: Path, mano: ManoHand, content: bytes, message: str
) -> None:
    write(tmp_path, ("7.jpg", b"photo"), ("7.data.pyd", content))
    with pytest.raises(DataSetError, match=message):
        read_hamer_tars(tmp_path, "train", mano)


def test_wrong_sizes_missing_photos_and_missing_tars_are_named(
    tmp_path: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    with pytest.raises(DataSetError, match="no tars below"):
        read_hamer_tars(tmp_path, "train", mano)
    record = hand_record(hands, 0) | {"hand_pose": np.zeros(45)}
    write(tmp_path, ("7.jpg", b"photo"), ("7.data.pyd", pickled([record])))
    with pytest.raises(DataSetError, match=r"hand_pose is \(45,\) of float64, expected \(48,\)"):
        read_hamer_tars(tmp_path, "train", mano)
    write(tmp_path, ("7.data.pyd", pickled([hand_record(hands, 0)])))
    with pytest.raises(DataSetError, match=r"lacks 1 of the 1 photos .*::7\.jpg"):
        read_hamer_tars(tmp_path, "train", mano)
