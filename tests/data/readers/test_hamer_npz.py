"""HaMeR's evaluation files: boxes, confidences, sides, photos, and pickles inside the npz."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.fixtures.hamer_npz import write_hamer_npz

from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hamer_npz import read_hamer_npz
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand

COUNT = 3


def change(path: Path, **arrays: Any) -> None:
    """Replace arrays of a file; None takes one away."""
    with np.load(path, allow_pickle=True) as archive:
        content = {name: archive[name] for name in archive.files} | arrays
    np.savez(path, **{name: value for name, value in content.items() if value is not None})


def test_boxes_are_scale_pixels_about_the_centre_and_not_divided_by_200(
    tmp_path: Path, mano: ManoHand
) -> None:
    hands = write_hamer_npz(tmp_path, "TEST_newdays_img_all", COUNT)
    found = read_hamer_npz(tmp_path, "TEST_newdays_img_all", mano)
    np.testing.assert_allclose(found.boxes, hands.boxes, atol=1e-3)
    change(tmp_path / "TEST_newdays_img_all.npz", scale=np.full(COUNT, 60.0))
    found = read_hamer_npz(tmp_path, "TEST_newdays_img_all", mano)
    np.testing.assert_allclose(found.boxes[:, 2:] - found.boxes[:, :2], 60, atol=1e-3)


@pytest.mark.parametrize(
    ("split", "scale", "expected"),
    [
        # The square that HaMeR's evaluation cuts: rescale_factor -1, i.e. the box grown to
        # BBOX_SHAPE (192, 256), for the first two, and twice the longer side for HInt.
        ("freihand_val", [96.0, 128.0], 128.0),
        ("ho3d_val", [90.0, 90.0], 120.0),
        ("ho3d_val", [50.0, 140.0], 140.0),
        ("TEST_epick_img_all", [96.0, 128.0], 256.0),
    ],
)
def test_crops_are_as_wide_as_in_hamers_evaluation(
    tmp_path: Path, mano: ManoHand, split: str, scale: list[float], expected: float
) -> None:
    write_hamer_npz(tmp_path, split, COUNT)
    change(tmp_path / f"{split}.npz", scale=np.tile(scale, (COUNT, 1)))
    images = HandImages(read_hamer_npz(tmp_path, split, mano), mano, HandCropConfig(crop_scale=2.0))
    assert [images.source(row).square[2] for row in range(COUNT)] == [expected] * COUNT


def test_visible_and_occluded_files_label_other_joints_of_the_same_photos(
    tmp_path: Path, mano: ManoHand
) -> None:
    for joints in ("vis", "occ"):
        write_hamer_npz(tmp_path, f"TEST_epick_img_{joints}", COUNT)
    visible = read_hamer_npz(tmp_path, "TEST_epick_img_vis", mano)
    occluded = read_hamer_npz(tmp_path, "TEST_epick_img_occ", mano)
    assert visible.images == occluded.images
    assert (visible.has_joints_2d ^ occluded.has_joints_2d).all()
    assert visible.is_right.tolist() == [True, False, True]


def test_confidences_count_from_above_one_half(tmp_path: Path, mano: ManoHand) -> None:
    hands = write_hamer_npz(tmp_path, "TEST_ego4d_img_all", COUNT)
    points = np.concatenate([hands.joints_2d, np.ones((COUNT, 21, 1))], axis=-1)
    points[0, :3, 2] = 0.49, 0.5, 0.51
    change(tmp_path / "TEST_ego4d_img_all.npz", hand_keypoints_2d=points)
    found = read_hamer_npz(tmp_path, "TEST_ego4d_img_all", mano)
    assert found.has_joints_2d[0, :4].tolist() == [False, False, True, True]
    np.testing.assert_allclose(found.flags["confidence_2d"][0, :3], [0.49, 0.5, 0.51])


def test_missing_labels_are_missing_and_hands_without_side_are_right(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_hamer_npz(tmp_path, "freihand_val", COUNT)
    lacking = dict.fromkeys(("hand_keypoints_2d", "hand_keypoints_3d", "hand_pose", "betas"))
    change(tmp_path / "freihand_val.npz", **lacking, has_hand_pose=None, has_betas=None)
    found = read_hamer_npz(tmp_path, "freihand_val", mano)
    assert len(found) == COUNT
    assert found.is_right.all()
    for flag in (found.has_joints_2d, found.has_joints_3d, found.has_mano, found.has_intrinsics):
        assert not flag.any()


def test_photos_are_found_in_images_or_beside_the_file(tmp_path: Path, mano: ManoHand) -> None:
    write_hamer_npz(tmp_path, "ho3d_val", COUNT)
    assert read_hamer_npz(tmp_path, "ho3d_val", mano).images[1] == (
        "images/ho3d_val/SM1/rgb/0001.png"
    )
    (tmp_path / "images/ho3d_val").rename(tmp_path / "ho3d_val")
    found = read_hamer_npz(tmp_path, "ho3d_val", mano)
    assert found.images[1] == "ho3d_val/SM1/rgb/0001.png"
    assert found.groups == ("SM1",) * COUNT
    (tmp_path / "ho3d_val/SM1/rgb/0000.png").unlink()  # the others tell the folder
    found = read_hands("hamer_npz", tmp_path, "ho3d_val", mano, partial=True)
    assert found.ids == ("ho3d_val/00001", "ho3d_val/00002")
    (tmp_path / "ho3d_val").rename(tmp_path / "elsewhere")
    with pytest.raises(DataSetError, match=r"expected SM1/rgb/0000\.png in .*images/ho3d_val"):
        read_hamer_npz(tmp_path, "ho3d_val", mano)


class Attack:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def test_names_as_objects_are_read_but_a_pickle_that_runs_a_command_is_not(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_hamer_npz(tmp_path, "freihand_val", COUNT)
    path, mark = tmp_path / "freihand_val.npz", tmp_path / "was_run"
    names = [f"{row:08d}.jpg" for row in range(COUNT)]
    change(path, imgname=np.array(names, dtype=object))
    assert read_hamer_npz(tmp_path, "freihand_val", mano).images[2].endswith("/00000002.jpg")
    bad = np.empty(COUNT, dtype=object)
    bad[:] = [Attack(mark), *names[1:]]
    with np.load(path) as archive:
        content = {name: archive[name] for name in ("center", "scale")}
    np.savez(path, imgname=bad, **content)
    with pytest.raises(DataSetError, match=r"asks for posix\.system"):
        read_hamer_npz(tmp_path, "freihand_val", mano)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"center": None}, "lacks center; it has"),
        ({"center": np.zeros((2, 2))}, "disagree on the number of hands"),
        ({"center": np.zeros((COUNT, 3))}, r"center is \(3, 3\) of float64, expected \(3, 2\)"),
        ({"scale": np.zeros((COUNT, 3))}, "scale has 3 numbers a hand"),
        ({"hand_pose": np.zeros((COUNT, 45))}, r"hand_pose is \(3, 45\)"),
    ],
)
def test_wrong_arrays_are_named(
    tmp_path: Path, mano: ManoHand, arrays: dict[str, Any], message: str
) -> None:
    write_hamer_npz(tmp_path, "freihand_val", COUNT)
    change(tmp_path / "freihand_val.npz", **arrays)
    with pytest.raises(DataSetError, match=message):
        read_hamer_npz(tmp_path, "freihand_val", mano)


def test_a_broken_or_missing_file_is_named(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match="hamer_evaluation_data"):
        read_hamer_npz(tmp_path, "freihand_val", mano)
    write_hamer_npz(tmp_path, "freihand_val", COUNT)
    path = tmp_path / "freihand_val.npz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataSetError, match="is no npz file, or is damaged"):
        read_hamer_npz(tmp_path, "freihand_val", mano)
