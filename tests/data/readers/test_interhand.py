"""InterHand2.6M: the world frame, millimetres, pairs, and labels that are not there."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures.interhand import write_interhand
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.interhand import read_interhand
from hand_pipeline.geometry.mano import ManoHand

COUNT = 4  # a right hand, a left one, and a pair


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="interhand")


@pytest.fixture
def written(tmp_path: Path) -> FixtureHands:
    return write_interhand(tmp_path, "train", COUNT)


def annotations(root: Path, kind: str) -> Path:
    return root / f"annotations/train/InterHand2.6M_train_{kind}.json"


def change(path: Path) -> tuple[Any, Any]:
    """The file's content, and what writes it back."""
    content = json.loads(path.read_text())
    return content, lambda: path.write_text(json.dumps(content))


def test_a_pair_is_two_hands_of_one_photo_the_right_one_first(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    found = read_interhand(tmp_path, "train", mano)
    assert found.is_right.tolist() == [True, False, True, False]
    assert found.images[2] == found.images[3] != found.images[1]
    assert found.ids[2:] == (
        "train/Capture0/ROM01_No_Interaction_2_Hand/cam400262/image17631_right",
        "train/Capture0/ROM01_No_Interaction_2_Hand/cam400262/image17631_left",
    )
    assert found.flags["interacting"].tolist() == [False, False, True, True]
    np.testing.assert_allclose(found.boxes[2:], written.boxes[2:], atol=1e-2)


def test_boxes_are_tight_for_single_hands_as_for_pairs(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    """The set's own box of a single hand is 1.2 times as wide as its joints; a pair's has both."""
    content, write = change(annotations(tmp_path, "data"))
    for record in content["annotations"][:2]:
        left, top, width, height = record["bbox"]
        record["bbox"] = [left - 0.1 * width, top - 0.1 * height, 1.2 * width, 1.2 * height]
    content["annotations"][1]["joint_valid"] = [0] * 22 + [1] + [0] * 19  # one joint has no size
    write()
    found = read_interhand(tmp_path, "train", mano)
    seen = np.arange(21) != 8  # the first hand's joint that is not valid
    tight = written.joints_2d[0, seen]
    np.testing.assert_allclose(found.boxes[0], [*tight.min(0), *tight.max(0)], atol=1e-2)
    left, top, width, height = content["annotations"][1]["bbox"]
    np.testing.assert_allclose(found.boxes[1], [left, top, left + width, top + height], atol=1e-2)


def test_joints_come_from_millimetres_of_the_world_to_metres_of_the_camera(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    """By the formula for one joint, from the files: R (X - campos)."""
    found = read_interhand(tmp_path, "train", mano)
    camera = json.loads(annotations(tmp_path, "camera").read_text())["0"]
    joints = json.loads(annotations(tmp_path, "joint_3d").read_text())["0"]["17628"]
    wrist = np.array(joints["world_coord"][41]) - camera["campos"]["400263"]
    expected = np.array(camera["camrot"]["400263"]) @ wrist / 1000
    np.testing.assert_allclose(found.joints_3d[1, 0], expected, atol=1e-6)
    np.testing.assert_allclose(found.joints_3d[1], written.joints_3d[1], atol=1e-6)
    assert abs(wrist).max() > 100  # the world is another frame than the camera's


def test_mano_turned_into_the_camera_is_the_mesh_turned_into_the_camera(
    tmp_path: Path, written: FixtureHands
) -> None:
    """Both hands, their vertices from the world's numbers, moved as points."""
    camera = json.loads(annotations(tmp_path, "camera").read_text())["0"]
    fits = json.loads(annotations(tmp_path, "MANO_NeuralAnnot").read_text())["0"]["17631"]
    turn = np.array(camera["camrot"]["400262"])
    position = np.array(camera["campos"]["400262"]) / 1000
    found = read_interhand(tmp_path, "train", ManoHand(tips="interhand"))
    for row, side in ((2, "right"), (3, "left")):
        model, fit = ManoHand(side=side), fits[side]
        numbers = [torch.tensor([fit[name]]) for name in ("pose", "shape", "trans")]
        world = model(model.full_pose(numbers[0], False), numbers[1], numbers[2]).vertices[0]
        expected = (world.numpy() - position) @ turn.T
        pose, betas, place = (
            torch.from_numpy(getattr(found, name)[[row]])
            for name in ("mano_pose", "betas", "translation")
        )
        moved = model(model.full_pose(pose, found.flat_hand_mean), betas, place).vertices[0]
        np.testing.assert_allclose(moved.numpy(), expected, atol=2e-6)
        np.testing.assert_allclose(moved.numpy(), written.vertices[row], atol=2e-6)


def test_joints_without_a_label_are_missing_not_at_one_millimetre(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    found = read_interhand(tmp_path, "train", mano)
    assert np.flatnonzero(~found.has_joints_3d[0]).tolist() == [8]
    assert not found.joints_3d[0, 8].any()
    np.testing.assert_array_equal(found.has_joints_2d, found.has_joints_3d)
    assert found.has_joints_3d[1:].all()


def test_a_joint_needs_both_its_photos_and_its_frames_word(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    content, write = change(annotations(tmp_path, "data"))
    content["annotations"][1]["joint_valid"][21] = 0  # left thumb's tip, in this photo only
    write()
    found = read_interhand(tmp_path, "train", mano)
    assert np.flatnonzero(~found.has_joints_3d[1]).tolist() == [4]


def test_hands_whose_fit_is_null_or_not_there_have_no_mano_labels(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    assert read_interhand(tmp_path, "train", mano).has_mano.tolist() == [True, False, True, True]
    content, write = change(annotations(tmp_path, "MANO_NeuralAnnot"))
    del content["0"]["17625"]
    write()
    found = read_interhand(tmp_path, "train", mano)
    assert found.has_mano.tolist() == [False, False, True, True]
    assert not found.translation[0].any()


def test_hands_without_any_label_are_left_out_and_counted(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found = read_interhand(tmp_path, "train", mano)
    assert len(found) == COUNT
    assert "1 of 5 hands left out" in caplog.text


def test_without_the_mano_file_hands_keep_their_joints(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    annotations(tmp_path, "MANO_NeuralAnnot").unlink()
    found = read_interhand(tmp_path, "train", mano)
    assert len(found) == COUNT
    assert not found.has_mano.any()
    assert "read without MANO labels" in caplog.text


@pytest.mark.parametrize("form", ["another capture", "by camera"])
def test_a_mano_file_that_is_of_no_frame_is_refused(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, form: str
) -> None:
    content, write = change(annotations(tmp_path, "MANO_NeuralAnnot"))
    frames = content.pop("0")
    content["1" if form == "another capture" else "0"] = (
        frames if form == "another capture" else {"400262": frames}
    )
    write()
    with pytest.raises(DataSetError, match=r"MANO_NeuralAnnot\.json labels nothing: none of the"):
        read_interhand(tmp_path, "train", mano)


def test_fits_of_frames_that_are_not_there_are_counted(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    content, write = change(annotations(tmp_path, "MANO_NeuralAnnot"))
    content["1"] = {"5": content["0"]["17625"]}
    write()
    assert read_interhand(tmp_path, "train", mano).has_mano.any()
    assert "1 of the 4 hands fitted in it are of no frame in" in caplog.text


def test_the_order_of_photos_and_annotations_in_the_file_does_not_matter(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    before = read_interhand(tmp_path, "train", mano)
    content, _ = change(annotations(tmp_path, "data"))
    turned = {"annotations": content["annotations"], "images": content["images"]}
    annotations(tmp_path, "data").write_text(json.dumps(turned))
    assert read_interhand(tmp_path, "train", mano).fingerprint == before.fingerprint


def test_the_older_releases_folder_is_found(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    (tmp_path / "annotations/train").rename(tmp_path / "annotations/all")
    assert len(read_interhand(tmp_path, "train", mano)) == COUNT


def test_photos_of_which_the_authors_doubt_the_hand_are_marked(
    tmp_path: Path, written: FixtureHands, mano: ManoHand
) -> None:
    content, write = change(annotations(tmp_path, "data"))
    content["annotations"][0]["hand_type_valid"] = 0
    write()
    found = read_interhand(tmp_path, "train", mano)
    assert found.flags["hand_type_valid"].tolist() == [False, True, True, True]


def test_a_folder_of_something_else_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match=r"expected InterHand2\.6M's folder"):
        read_interhand(tmp_path, "train", mano)


@pytest.mark.parametrize("kind", ["data", "camera", "joint_3d", "MANO_NeuralAnnot"])
def test_a_file_that_is_cut_short_is_named(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, kind: str
) -> None:
    path = annotations(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataSetError, match=f"train_{kind}.json is cut short"):
        read_interhand(tmp_path, "train", mano)


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        ("camera", lambda c: c["0"].pop("focal"), "KeyError: 'focal'"),
        ("camera", lambda c: c["0"]["campos"].pop("400263"), "no camera"),
        ("joint_3d", lambda c: c["0"].pop("17628"), "no 3D joints of its frame"),
        ("joint_3d", lambda c: c["0"]["17628"]["world_coord"].pop(), "inhomogeneous"),
        ("MANO_NeuralAnnot", lambda c: c["0"]["17625"]["right"].pop("trans"), "KeyError: 'trans'"),
        ("data", lambda c: c["annotations"][0].update(hand_type="both"), "hand_type 'both'"),
        ("data", lambda c: c["annotations"][0].pop("bbox"), "KeyError: 'bbox'"),
        ("data", lambda c: c.update(annotations=[]), "none of its 0 hands"),
    ],
)
def test_a_record_of_another_form_is_told(
    tmp_path: Path, written: FixtureHands, mano: ManoHand, kind: str, damage: Any, message: str
) -> None:
    content, write = change(annotations(tmp_path, kind))
    damage(content)
    write()
    with pytest.raises(DataSetError, match=message):
        read_interhand(tmp_path, "train", mano)
