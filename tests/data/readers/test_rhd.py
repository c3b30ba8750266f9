"""RHD: two hands in 42 joints from tip to base, hidden joints, the larger hand, broken pickles."""

import logging
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.fixtures.rhd import write_rhd
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.rhd import read_rhd
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

COUNT = 3


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("rhd")
    return root, write_rhd(root, "training", COUNT)


def labels(root: Path) -> Path:
    return root / "training/anno_training.pickle"


def test_the_first_21_joints_are_the_left_hands_from_tip_to_base(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    found = read_rhd(tmp_path, "training", mano)
    xyz = read_pickle(labels(tmp_path))[0]["xyz"]
    assert found.ids == ("training/00000_r", "training/00000_l", "training/00001_r")
    assert found.groups == ("training/00000", "training/00000", "training/00001")
    for row, first in ((0, 21), (1, 0)):
        np.testing.assert_array_equal(found.joints_3d[row, 0], xyz[first])  # wrist
        np.testing.assert_array_equal(found.joints_3d[row, 4], xyz[first + 1])  # tip of the thumb
        np.testing.assert_array_equal(found.joints_3d[row, 17], xyz[first + 20])  # pinky's base


def test_hidden_joints_lack_2d_but_not_3d_labels_and_are_in_the_box(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    found = read_rhd(tmp_path, "training", mano)
    hidden = np.zeros((COUNT, 21), dtype=bool)
    hidden[:, 2] = True  # the set's fourth joint
    np.testing.assert_array_equal(found.has_joints_2d, ~hidden)
    assert not found.joints_2d[hidden].any()
    assert found.has_joints_3d.all()
    np.testing.assert_allclose(found.boxes, written.boxes, atol=1e-4)


def test_hands_that_cannot_be_seen_are_left_out_and_counted(
    written: FixtureHands, tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert len(read_rhd(tmp_path, "training", mano)) == COUNT
    assert "1 of 4 hands left out: no visible joint (1)" in caplog.text


def test_the_dominant_hand_is_the_one_with_the_larger_mask(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    mask = np.zeros((320, 320), np.uint8)
    mask[:10] = 1  # the person
    mask[10:20, :100] = 17
    mask[20:30, :99] = 33
    Image.fromarray(mask).save(tmp_path / "training/mask/00000.png")
    found = read_rhd(tmp_path, "training", mano, hands="dominant")
    assert found.ids == ("training/00000_l", "training/00001_r")


def test_numbers_in_any_order_give_the_same_rows(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    first = read_rhd(tmp_path, "training", mano)
    content = read_pickle(labels(tmp_path))
    labels(tmp_path).write_bytes(pickle.dumps(dict(reversed(content.items())), protocol=2))
    assert read_rhd(tmp_path, "training", mano).fingerprint == first.fingerprint


def broken(**change: Any) -> bytes:
    entry = {"uv_vis": np.ones((42, 3)), "xyz": np.ones((42, 3)), "K": np.eye(3)} | change
    return pickle.dumps({0: entry, 1: entry}, protocol=2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(xyz=np.ones((21, 3))), r"image 0 has xyz \(21, 3\), expected \(42, 3\)"),
        (broken(K=None), r"image 0 has K none, expected \(3, 3\)"),
        (broken(xyz=np.full((42, 3), np.nan)), "joints_3d of 4 hands are not finite"),
        (pickle.dumps({}), "holds no images' labels"),
        (pickle.dumps({0: 1}), "image 0 has uv_vis none"),
        (b"cposix\nsystem\n(S'true'\ntR.", "asks for posix.system"),
        (b"no pickle", "damaged"),
    ],
)
def test_a_broken_or_unsafe_pickle_says_how(
    written: FixtureHands, tmp_path: Path, mano: ManoHand, content: bytes, message: str
) -> None:
    labels(tmp_path).write_bytes(content)
    with pytest.raises(DataSetError, match=message):
        read_rhd(tmp_path, "training", mano)


def test_without_a_picture_its_mask_is_not_needed(
    written: FixtureHands, tmp_path: Path, mano: ManoHand
) -> None:
    whole = read_rhd(tmp_path, "training", mano, hands="dominant")
    (tmp_path / "training/mask/00001.png").unlink()
    with pytest.raises(DataSetError, match=r"lacks 1 of the 2 masks, .*00001\.png"):
        read_rhd(tmp_path, "training", mano, hands="dominant")
    (tmp_path / "training/color/00001.png").unlink()
    rest = read_rhd(tmp_path, "training", mano, hands="dominant")
    assert rest.ids[0] == whole.ids[0]


def test_another_folder_says_what_is_expected(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match="expected the folder RHD_published_v2"):
        read_rhd(tmp_path, "training", mano)
