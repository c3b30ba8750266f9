"""The ASL alphabet: classes from folders, no labels unless a sidecar has them."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fixtures.asl_alphabet import write_asl_alphabet
from tests.fixtures.scene import make_hands

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.asl_alphabet import CLASSES, LETTERS, read_asl_alphabet
from hand_pipeline.geometry.mano import ManoHand


def empty_photos(root: Path, split: str) -> None:
    """One photo a class, of nothing: quicker than hands."""
    for name in CLASSES if split == "train" else [name for name in CLASSES if name != "del"]:
        file = f"{name}/{name}1.jpg" if split == "train" else f"{name}_test.jpg"
        path = root / f"asl_alphabet_{split}/asl_alphabet_{split}" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (200, 200)).save(path)


def test_every_class_is_found_in_its_own_folder(tmp_path: Path, mano: ManoHand) -> None:
    empty_photos(tmp_path, "train")
    found = read_asl_alphabet(tmp_path, "train", mano)
    assert tuple(found.flags["letter"].tolist()) == CLASSES
    assert found.flags["letter"].dtype == np.dtype("U7")
    assert found.ids[0] == "train/A1"
    assert found.images[-1] == "asl_alphabet_train/asl_alphabet_train/space/space1.jpg"


def test_photos_are_ordered_by_number_not_by_text(tmp_path: Path, mano: ManoHand) -> None:
    write_asl_alphabet(tmp_path, "train", count=1)
    photo = tmp_path / "asl_alphabet_train/asl_alphabet_train/A/A1.jpg"
    for number in (2, 10):
        photo.with_name(f"A{number}.jpg").write_bytes(photo.read_bytes())
    found = read_asl_alphabet(tmp_path, "train", mano)
    assert found.ids == ("train/A1", "train/A2", "train/A10")


def test_the_test_split_has_no_del(tmp_path: Path, mano: ManoHand) -> None:
    empty_photos(tmp_path, "test")
    found = read_asl_alphabet(tmp_path, "test", mano)
    assert set(CLASSES) - set(found.flags["letter"].tolist()) == {"del"}
    assert len(found) == 28


def test_photos_are_used_whole_and_have_no_label(tmp_path: Path, mano: ManoHand) -> None:
    write_asl_alphabet(tmp_path, "train")
    found = read_asl_alphabet(tmp_path, "train", mano)
    images = HandImages(found, mano)
    batch = images.collate([images[row] for row in range(4)])
    assert batch.images.shape == (4, 3, 200, 200)
    for flag in (batch.has_joints_2d, batch.has_joints_3d, batch.has_mano, batch.has_vertices):
        assert not flag.any()
    for label in (batch.joints_2d, batch.joints_3d, batch.vertices, batch.mano_pose, batch.betas):
        assert (label == 0).all()


def test_some_classes_can_be_chosen(tmp_path: Path, mano: ManoHand) -> None:
    empty_photos(tmp_path, "train")
    assert len(read_asl_alphabet(tmp_path, "train", mano, classes=LETTERS)) == 26
    with pytest.raises(DataSetError, match="no class 'a'"):
        read_asl_alphabet(tmp_path, "train", mano, classes=("a",))


def test_a_sidecars_labels_belong_to_the_photos_it_names(tmp_path: Path, mano: ManoHand) -> None:
    write_asl_alphabet(tmp_path, "train", count=3)
    ids = read_asl_alphabet(tmp_path, "train", mano).ids
    hands = make_hands(2, (200, 200))
    np.savez(
        tmp_path / "pseudo_labels_train.npz",
        ids=np.array([ids[2], ids[0]]),
        joints_2d=hands.joints_2d,
        mano_pose=hands.mano_pose,
        betas=hands.betas,
        translation=hands.translation,
        is_right=np.array([False, True]),
    )
    found = read_asl_alphabet(tmp_path, "train", mano)
    assert found.has_mano.tolist() == [True, False, True]
    assert found.is_right.tolist() == [True, True, False]
    np.testing.assert_array_equal(found.joints_2d[[2, 0]], hands.joints_2d)
    assert not found.has_joints_2d[1].any()
    batch = HandImages(found, mano).labels(np.arange(3), None)
    torch.testing.assert_close(batch.vertices[0], torch.from_numpy(hands.vertices[1]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"ids": np.array(["train/Q9"])},
            "1 of the 1 photos that pseudo_labels_train.npz labels, the first is train/Q9",
        ),
        ({"joints_2d": np.zeros((1, 21, 2))}, "lacks 'ids'"),
        ({"ids": np.zeros(0, dtype="U8")}, "labels nothing"),
        ({"ids": np.array(["train/A1"]), "joints": np.zeros(1)}, "unknown array 'joints'"),
        ({"ids": np.array(["train/A1"]), "betas": np.zeros((2, 10))}, "1 ids, but 2 rows"),
        ({"ids": np.array(["train/A1"], dtype=object)}, "no npz file of plain arrays"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(
    tmp_path: Path, mano: ManoHand, arrays: dict[str, np.ndarray], message: str
) -> None:
    write_asl_alphabet(tmp_path, "train", count=1)
    np.savez(tmp_path / "pseudo_labels_train.npz", **arrays)
    with pytest.raises(DataSetError, match=message):
        read_asl_alphabet(tmp_path, "train", mano)


def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, mano: ManoHand) -> None:
    write_asl_alphabet(tmp_path, "train", count=1)
    (tmp_path / "pseudo_labels_train.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataSetError, match="no npz file"):
        read_asl_alphabet(tmp_path, "train", mano)


def test_a_photo_under_a_wrong_name_is_passed_over_and_an_empty_folder_named(
    tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataSetError, match=r"expected CLASS/CLASS1\.jpg"):
        read_asl_alphabet(tmp_path, "train", mano)
    write_asl_alphabet(tmp_path, "train", count=2)
    folder = tmp_path / "asl_alphabet_train/asl_alphabet_train/A"
    (folder / "A1.jpg").rename(folder / "B1.jpg")
    with caplog.at_level(logging.INFO):
        found = read_asl_alphabet(tmp_path, "train", mano)
    assert len(found) == 1
    assert "1 files are not the set's, passed over: B1.jpg" in caplog.text
