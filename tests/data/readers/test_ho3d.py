"""HO-3D: OpenGL to OpenCV, the order of the lists, frames without labels, labels of 2024."""

import json
import logging
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures.ho3d import DEPTH_UNIT, write_ho3d
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.ho3d import read_ho3d
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.pickles import read_pickle

COUNT = 3


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="ho3d")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands, FixtureHands]:
    root = tmp_path_factory.mktemp("HO3D_v3")
    train = write_ho3d(root, "train", COUNT)
    return root, train, write_ho3d(root, "evaluation", COUNT, seed=1)


@pytest.fixture
def root(written: tuple[Path, FixtureHands, FixtureHands], tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(written[0], tmp_path / "HO3D_v3"))


def change(root: Path, split: str, row: int, **entries: Any) -> Path:
    """Overwrite entries of the pickle of a listed frame."""
    sequence, frame = (root / f"{split}.txt").read_text().split()[row].split("/")
    path = root / split / sequence / "meta" / f"{frame}.pkl"
    path.write_bytes(pickle.dumps(read_pickle(path) | entries, protocol=2))
    return path


def test_the_lists_order_is_the_manifests_and_other_frames_are_not_read(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    root, _, _ = written
    for split in ("train", "evaluation"):
        listed = (root / f"{split}.txt").read_text().split()
        found = read_ho3d(root, split, mano)
        assert found.ids == tuple(f"{split}/{name}" for name in listed)
        assert list(listed) != sorted(listed)
        assert len(list((root / split).rglob("*.pkl"))) == COUNT + 1
    assert found.images[0] == "evaluation/SM1/rgb/0009.jpg"
    assert found.groups == ("SM", "AP1", "SM")


def test_the_files_hold_opengl_and_the_reader_gives_opencv(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    root = written[0]
    stored = read_pickle(root / "train/MC1/meta/0009.pkl")
    assert (stored["handJoints3D"][:, 2] < 0).all()
    found = read_ho3d(root, "train", mano)
    assert (found.joints_3d[..., 2] > 0).all()
    # MANO's order on disk: its joint 4 is the middle knuckle, 7 the pinky's, 16 the thumb's tip.
    for ho3d, openpose in ((0, 0), (4, 9), (7, 17), (16, 4), (20, 20)):
        np.testing.assert_allclose(
            found.joints_3d[0, openpose], stored["handJoints3D"][ho3d] * [1, -1, -1], atol=1e-6
        )
    turned = axis_angle_to_matrix(torch.from_numpy(stored["handPose"][:3])).numpy()
    expected = np.diag([1.0, -1.0, -1.0]) @ turned
    ours = axis_angle_to_matrix(torch.from_numpy(found.mano_pose[0, :3])).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    np.testing.assert_allclose(found.mano_pose[0, 3:], stored["handPose"][3:], atol=1e-6)
    assert found.flat_hand_mean


def test_the_stored_numbers_give_the_stored_hand_in_opengl(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    """Of the fixture alone: v = MANO(pose, beta) + trans, as HO-3D's authors state it."""
    root, _, _ = written
    stored = read_pickle(root / "train/ABF10/meta/0006.pkl")
    pose = mano.full_pose(torch.from_numpy(stored["handPose"])[None], flat_hand_mean=True)
    mesh = mano(
        pose,
        torch.from_numpy(stored["handBeta"])[None],
        torch.from_numpy(stored["handTrans"]).float()[None],
    )
    order = [0, 5, 6, 7, 9, 10, 11, 17, 18, 19, 13, 14, 15, 1, 2, 3, 4, 8, 12, 16, 20]
    np.testing.assert_allclose(mesh.joints[0, order].numpy(), stored["handJoints3D"], atol=1e-5)
    assert {"handVertContact", "objCorners3D", "camIDList"} <= set(stored)
    assert "handBoundingBox" not in stored


def test_mano_and_its_translation_reproduce_the_vertices(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    root, hands, _ = written
    found = read_ho3d(root, "train", mano)
    batch = HandImages(found, mano).labels(np.arange(COUNT), None)
    np.testing.assert_allclose(batch.vertices.numpy(), hands.vertices, atol=1e-5)
    np.testing.assert_allclose(found.joints_2d, hands.joints_2d, atol=1e-2)
    np.testing.assert_allclose(found.boxes, hands.boxes, atol=1e-2)
    np.testing.assert_allclose(found.intrinsics, hands.intrinsics, atol=1e-4)


def test_evaluation_with_the_labels_of_2024_has_joints_and_vertices(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    root, _, hands = written
    found = read_ho3d(root, "evaluation", mano)
    assert found.has_joints_3d.all()
    assert found.has_joints_2d.all()
    assert found.vertices is not None
    np.testing.assert_allclose(found.joints_3d, hands.joints_3d, atol=1e-6)
    np.testing.assert_allclose(found.vertices, hands.vertices, atol=1e-6)
    np.testing.assert_allclose(found.boxes, hands.boxes, atol=1e-4)
    assert not found.has_mano.any()


def test_evaluation_without_them_has_wrists_and_boxes_only(
    root: Path, written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    for path in root.glob("evaluation_*.json"):
        path.unlink()
    found = read_ho3d(root, "evaluation", mano)
    assert found.has_joints_3d[:, 0].all()
    assert not found.has_joints_3d[:, 1:].any()
    assert found.vertices is None
    np.testing.assert_allclose(found.joints_3d[:, 0], written[2].joints_3d[:, 0], atol=1e-6)
    np.testing.assert_allclose(found.joints_2d[:, 0], written[2].joints_2d[:, 0], atol=1e-2)
    np.testing.assert_allclose(found.boxes, written[2].boxes, atol=1e-4)
    assert len(HandImages(found, mano)[1].image.unique()) > 1


def test_a_named_frame_with_none_is_left_out_of_training_and_counted(
    root: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    change(root, "train", 1, handPose=None, handBeta=None, handTrans=None, handJoints3D=None)
    with caplog.at_level(logging.INFO):
        found = read_ho3d(root, "train", mano)
    assert found.ids == ("train/MC1/0009", "train/MC1/0003")
    assert "1 of 3 hands left out" in caplog.text


def test_a_named_frame_with_none_stays_in_evaluation_without_labels(
    root: Path, mano: ManoHand
) -> None:
    for path in root.glob("evaluation_*.json"):
        path.unlink()
    change(root, "evaluation", 1, handJoints3D=None, handBoundingBox=None, camMat=None)
    found = read_ho3d(root, "evaluation", mano)
    assert len(found) == COUNT
    assert not found.has_joints_3d[1].any()
    assert not found.has_joints_2d[1].any()
    assert found.has_intrinsics.tolist() == [True, False, True]
    assert found.boxes[1].tolist() == [0, 0, 640, 480]
    images = HandImages(found, mano)
    images.collate([images[row] for row in range(COUNT)])


def test_version_2_has_png_photos_and_says_so(
    written: tuple[Path, FixtureHands, FixtureHands], mano: ManoHand
) -> None:
    with pytest.raises(DataSetError, match=r"lacks 3 of the 3 photos.*0009\.png .*are \.jpg"):
        read_ho3d(written[0], "train", mano, version="v2")


def test_depth_pictures_are_16_bits_in_two_channels(
    written: tuple[Path, FixtureHands, FixtureHands],
) -> None:
    from PIL import Image

    root, hands, _ = written
    depth = np.asarray(Image.open(root / "train/MC1/depth/0009.png")).astype(int)
    metres = (depth[..., 0] + 256 * depth[..., 1]) * DEPTH_UNIT
    assert abs(metres.max() - hands.joints_3d[0, 0, 2]) < 1e-3


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"handJoints3D": np.zeros(3)}, r"handJoints3D is \(3,\) of float64, expected \(21, 3\)"),
        ({"handPose": np.full(48, np.nan)}, "handPose is not finite"),
        ({"handBeta": "ten"}, "handBeta is "),
    ],
)
def test_a_wrong_entry_is_named(
    root: Path, mano: ManoHand, entries: dict[str, Any], message: str
) -> None:
    path = change(root, "train", 2, **entries)
    with pytest.raises(DataSetError, match=message) as caught:
        read_ho3d(root, "train", mano)
    assert str(path) in str(caught.value)


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_runs_a_command_is_refused_and_not_run(
    root: Path, mano: ManoHand, tmp_path: Path
) -> None:
    change(root, "train", 0, objName=None)
    path = root / "train/MC1/meta/0009.pkl"
    path.write_bytes(pickle.dumps({"handPose": Attack(tmp_path / "run")}, protocol=2))
    with pytest.raises(DataSetError, match=r"0009\.pkl asks for posix\.system"):
        read_ho3d(root, "train", mano)
    assert not (tmp_path / "run").exists()


def test_truncated_missing_and_foreign_pickles_are_named(root: Path, mano: ManoHand) -> None:
    path = root / "train/MC1/meta/0009.pkl"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataSetError, match=r"0009\.pkl is not a pickle.*damaged"):
        read_ho3d(root, "train", mano)
    path.write_bytes(pickle.dumps({"pose": 1}))
    with pytest.raises(DataSetError, match=r"expected handPose, .*it holds pose"):
        read_ho3d(root, "train", mano)
    path.unlink()
    with pytest.raises(DataSetError, match=r"lacks 1 of the 6 photos and label files .*0009\.pkl"):
        read_ho3d(root, "train", mano)


def test_lists_that_are_missing_or_hold_something_else_are_named(
    root: Path, mano: ManoHand
) -> None:
    (root / "train.txt").write_text("MC1/0009\n../secret/0000\n")
    with pytest.raises(DataSetError, match=r"expected lines like ABF10/0021, got '\.\./secret"):
        read_ho3d(root, "train", mano)
    (root / "train.txt").write_text("\n")
    with pytest.raises(DataSetError, match="got an empty file"):
        read_ho3d(root, "train", mano)
    (root / "train.txt").unlink()
    with pytest.raises(DataSetError, match=r"no .*train\.txt; expected HO-3D v3's folder"):
        read_ho3d(root, "train", mano)


def test_labels_of_another_version_frame_or_order_are_refused(root: Path, mano: ManoHand) -> None:
    path = root / "evaluation_xyz.json"
    labels = np.array(json.loads(path.read_text()))
    path.write_text(json.dumps(labels[:2].tolist()))
    with pytest.raises(DataSetError, match=r"has 2 hands, evaluation\.txt 3"):
        read_ho3d(root, "evaluation", mano)
    path.write_text(json.dumps((labels * [1, -1, -1]).tolist()))
    with pytest.raises(DataSetError, match=r"lie 1\.\d+ m .*OpenGL's camera frame"):
        read_ho3d(root, "evaluation", mano)
    path.write_text(json.dumps(labels.tolist())[:-20])
    with pytest.raises(DataSetError, match="cut short"):
        read_ho3d(root, "evaluation", mano)
