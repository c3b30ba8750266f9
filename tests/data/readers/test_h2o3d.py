"""H2O-3D: both hands of a frame, validity of joints and poses, left hands."""

import logging
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.h2o3d import write_h2o3d
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.h2o3d import read_h2o3d
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

COUNT = 4


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="h2o3d")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("H2O3D")
    write_h2o3d(root, "evaluation", COUNT, seed=1)
    return root, write_h2o3d(root, "train", COUNT)


@pytest.fixture
def root(written: tuple[Path, FixtureHands], tmp_path: Path) -> Path:
    return Path(shutil.copytree(written[0], tmp_path / "H2O3D"))


def change(path: Path, **entries: Any) -> None:
    path.write_bytes(pickle.dumps(read_pickle(path) | entries, protocol=2))


def test_every_frame_gives_its_right_hand_and_then_its_left(
    written: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    found = read_h2o3d(written[0], "train", mano)
    assert found.ids == tuple(
        f"train/{name}_{side}" for name in ("AST1/0012", "MDA2/0009") for side in "rl"
    )
    assert found.is_right.tolist() == [True, False, True, False]
    assert found.images[0] == found.images[1] == "train/AST1/rgb/0012.jpg"
    np.testing.assert_array_equal(found.betas[0], found.betas[1])


def test_left_hands_are_left_in_the_manifest_and_right_in_a_batch(
    written: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    root, hands = written
    found = read_h2o3d(root, "train", mano)
    seen = found.has_joints_3d
    np.testing.assert_allclose(found.joints_3d[seen], hands.joints_3d[seen], atol=1e-6)
    images = HandImages(found, mano)
    batch = images.collate([images[row] for row in range(COUNT)])
    mirrored = hands.vertices[1] * [-1, 1, 1]
    np.testing.assert_allclose(batch.vertices[1].numpy(), mirrored, atol=1e-5)
    pixels = project(batch.joints_3d, batch.intrinsics)
    np.testing.assert_allclose(pixels[1].numpy(), batch.joints_2d[1].numpy(), atol=2e-2)


def test_invalid_joints_and_poses_are_no_labels(
    written: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    found = read_h2o3d(written[0], "train", mano)
    # Joint 9 of MANO's order is the pinky's last (19 of OpenPose's), joint 18 the middle tip (12).
    assert np.flatnonzero(~found.has_joints_3d[3]).tolist() == [12, 19]
    assert (found.joints_3d[3, [12, 19]] == 0).all()
    assert not found.has_joints_2d[3, 12]
    assert found.has_joints_3d[:3].all()
    assert found.has_mano.tolist() == [True, True, True, False]
    assert np.flatnonzero(~found.flags["pose_valid"][3]).tolist() == [27, 28, 29]


def test_hands_with_none_or_without_a_valid_joint_are_left_out_and_counted(
    root: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    change(root / "train/AST1/meta/0012.pkl", leftHandJoints3D=None, leftHandPose=None)
    change(root / "train/MDA2/meta/0009.pkl", jointValidRight=np.zeros(21))
    with caplog.at_level(logging.INFO):
        found = read_h2o3d(root, "train", mano)
    assert found.ids == ("train/AST1/0012_r", "train/MDA2/0009_l")
    assert "2 of 4 hands left out: no label, None (1), no valid joint (1)" in caplog.text


def test_evaluation_has_wrists_boxes_and_every_hand(root: Path, mano: ManoHand) -> None:
    path = next((root / "evaluation").rglob("*.pkl"))
    change(path, leftHandJoints3D=None, leftHandBoundingBox=None)
    found = read_h2o3d(root, "evaluation", mano)
    assert len(found) == COUNT
    assert found.has_joints_3d[:, 0].sum() == COUNT - 1
    assert not found.has_joints_3d[:, 1:].any()
    (row,) = np.flatnonzero(~found.has_joints_3d[:, 0])
    assert found.boxes[row].tolist() == [0, 0, 640, 480]
    assert not found.is_right[row]


def test_ho3ds_pickles_are_not_taken_for_h2o3ds(root: Path, mano: ManoHand) -> None:
    path = root / "train/AST1/meta/0012.pkl"
    path.write_bytes(pickle.dumps({"handPose": np.zeros(48)}))
    with pytest.raises(DataSetError, match=r"expected rightHandPose, .*it holds handPose"):
        read_h2o3d(root, "train", mano)
