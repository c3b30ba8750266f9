"""MTC: the dome's frame and unit, the lens, good views only, and broken pickles."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures.mtc import write_mtc
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.mtc import read_mtc
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

COUNT = 3
LENS = (-0.25, 0.18, 0.0005, -0.0003, 0.01)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("mtc")
    return root, write_mtc(root, "training", COUNT, distortion=LENS)


def people(root: Path) -> list[dict[str, Any]]:
    content = read_pickle(root / "annotation.pkl")
    return list(content["training_data"])


def save(root: Path, entries: list[Any]) -> None:
    content = {"training_data": entries, "testing_data": []}
    (root / "annotation.pkl").write_bytes(pickle.dumps(content))


def test_landmarks_come_from_the_domes_frame_in_centimetres(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    found = read_mtc(tmp_path, "training", mano)
    np.testing.assert_allclose(found.joints_3d, written.joints_3d, atol=1e-6)
    world = np.array(people(tmp_path)[0]["right_hand"]["landmarks"]).reshape(21, 3)
    size = np.linalg.norm(np.ptp(world, axis=0)), np.linalg.norm(np.ptp(found.joints_3d[0], axis=0))
    assert 5 < size[0] < 50  # centimetres
    assert 0.05 < size[1] < 0.5


def test_pixels_are_those_that_opencv_sees_through_the_lens(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    """The fixture's pixels are cv2.projectPoints'."""
    found = read_mtc(tmp_path, "training", mano)
    np.testing.assert_allclose(found.joints_2d, written.joints_2d, atol=1e-3)
    np.testing.assert_allclose(found.boxes, written.boxes, atol=1e-3)
    straight = project(torch.from_numpy(found.joints_3d), torch.from_numpy(found.intrinsics))
    bend = np.abs(straight.numpy() - found.joints_2d).max()
    assert 0.1 < bend < 20  # what a pinhole camera alone would get wrong


def test_only_views_that_show_the_whole_hand_are_used(
    written: FixtureHands, tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = read_mtc(tmp_path, "training", mano)
    sequence = "171026_pose1"
    assert found.ids == (
        f"{sequence}/00002000/00/0_r",
        f"{sequence}/00002000/00/0_l",
        f"{sequence}/00002010/01/1_r",
    )
    assert found.images[2] == f"hdImgs/{sequence}/00002010/00_01_00002010.jpg"
    assert found.groups == (sequence,) * COUNT
    assert "9 of 12 hands left out" in caplog.text
    for reason in ("not all in the image (3)", "occluded (3)", "behind another hand (3)"):
        assert reason in caplog.text


def test_people_without_hands_are_passed_over(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    entries = people(tmp_path)
    del entries[0]["right_hand"], entries[0]["left_hand"]
    save(tmp_path, entries)
    assert len(read_mtc(tmp_path, "training", mano)) == 1


def test_a_broken_person_is_named(written: FixtureHands, tmp_path: Path, mano: ManoHand) -> None:
    entries = people(tmp_path)
    entries[1]["right_hand"]["landmarks"] = [0.0] * 60
    save(tmp_path, entries)
    with pytest.raises(DataSetError, match=r"training_data\[1\] is not a person"):
        read_mtc(tmp_path, "training", mano)


def test_a_split_without_a_good_view_is_an_error(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    with pytest.raises(DataSetError, match="no hand of testing_data"):
        read_mtc(tmp_path, "testing", mano)


@pytest.mark.parametrize("key", ["K", "R", "t", "distCoef"])
def test_a_camera_that_lacks_a_part_is_named(
    written: FixtureHands, tmp_path: Path, mano: ManoHand, key: str
) -> None:
    cameras = read_pickle(tmp_path / "camera_data.pkl")
    del cameras["171026_pose1"][1][key]
    (tmp_path / "camera_data.pkl").write_bytes(pickle.dumps(cameras))
    with pytest.raises(DataSetError, match="camera 1 of 171026_pose1 is missing or lacks"):
        read_mtc(tmp_path, "training", mano)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([1]), "no training_data; expected annotation.pkl"),
        (pickle.dumps({"training_data": 1}), "no training_data"),
        (b"cposix\nsystem\n(S'true'\ntR.", "asks for posix.system"),
        (b"\x80\x04\x95", "damaged"),
    ],
)
def test_a_broken_or_unsafe_pickle_says_how(
    written: FixtureHands, tmp_path: Path, mano: ManoHand, content: bytes, message: str
) -> None:
    (tmp_path / "annotation.pkl").write_bytes(content)
    with pytest.raises(DataSetError, match=message):
        read_mtc(tmp_path, "training", mano)


def test_another_folder_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match="expected the folder a4_release"):
        read_mtc(tmp_path, "training", mano)
