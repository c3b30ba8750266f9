"""DexYCB: the toolkit's order and numbers, both hands, and what a damaged copy is told."""

import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from tests.fixtures.dexycb import write_dexycb
from tests.fixtures.scene import FixtureHands

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.dexycb import read_dexycb
from hand_pipeline.data.readers.dexycb_layout import SERIALS, split_parts
from hand_pipeline.geometry.mano import ManoHand, mirror_points

COUNT = 5
RIGHT = "20200820-subject-03/20200820_000004"  # sequence of the fixture's right hands in s0_test
LEFT = "20201022-subject-10/20201022_000009"
LABELS = f"{RIGHT}/836212060125/labels_000000.npz"


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="dexycb")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FixtureHands]:
    root = tmp_path_factory.mktemp("dexycb")
    return root, write_dexycb(root, "s0_test", COUNT)


@pytest.fixture
def root(tree: tuple[Path, FixtureHands]) -> Path:
    return tree[0]


@contextmanager
def altered(path: Path, content: bytes | None = None) -> Iterator[Path]:
    """The file with other content, or gone, for a while."""
    before = path.read_bytes()
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    try:
        yield path
    finally:
        path.write_bytes(before)


@contextmanager
def relabelled(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> Iterator[None]:
    with np.load(path) as content:
        labels = {name: content[name] for name in content.files}
    change(labels)
    with altered(path):
        np.savez(path, **labels)
        yield


@pytest.mark.parametrize(
    ("split", "subjects", "sequences", "cameras"),
    [
        ("s0_train", 10, 80, 8),
        ("s0_val", 2, 20, 8),
        ("s0_test", 8, 20, 8),
        ("s1_train", 7, 100, 8),
        ("s1_val", 1, 100, 8),
        ("s1_test", 2, 100, 8),
        ("s2_train", 10, 100, 6),
        ("s2_val", 10, 100, 1),
        ("s2_test", 10, 100, 1),
        ("s3_train", 10, 75, 8),
        ("s3_val", 10, 10, 8),
        ("s3_test", 10, 15, 8),
    ],
)
def test_splits_have_the_toolkits_sizes(
    split: str, subjects: int, sequences: int, cameras: int
) -> None:
    assert [len(places) for places in split_parts(split)] == [subjects, sequences, cameras]


@pytest.mark.parametrize("setup", ["s0", "s1", "s2", "s3"])
def test_the_parts_of_a_setup_share_nothing_and_leave_nothing_out(setup: str) -> None:
    cells = [
        cell
        for part in ("train", "val", "test")
        for cell in itertools.product(*split_parts(f"{setup}_{part}"))
    ]
    assert len(set(cells)) == len(cells) == 10 * 100 * 8


def test_the_index_counts_frames_without_a_hand_too(root: Path, mano: ManoHand) -> None:
    """The official list, written out: subject, sequence, camera, frame."""
    listed = []
    for subject in sorted(p for p in root.iterdir() if "-subject-" in p.name)[2:]:
        for sequence in sorted(subject.iterdir())[4::5]:
            frames = yaml.safe_load((sequence / "meta.yml").read_text())["num_frames"]
            for serial, frame in itertools.product(sorted(SERIALS), range(frames)):
                listed.append(f"{subject.name}/{sequence.name}/{serial}/{frame:06d}")
    found = read_dexycb(root, "s0_test", mano)
    assert len(found) == COUNT < len(listed)
    index = found.flags["index"]
    assert index.dtype == np.int64
    assert [listed[i] for i in index.tolist()] == list(found.ids)
    assert (np.diff(index) > 0).all()


def test_frames_without_a_hand_are_counted(
    root: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        read_dexycb(root, "s0_test", mano)
    frames = 8 * (3 + 2)  # two or one frames with the hand, and one without, before 8 cameras
    assert f"{frames - COUNT} of {frames} hands left out" in caplog.text


def test_principal_components_of_both_hands_become_their_axis_angle(
    tree: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    root, written = tree
    found = read_dexycb(root, "s0_test", mano)
    assert found.is_right.tolist() == [True] * 3 + [False] * 2
    for side in ("right", "left"):
        rows = found.is_right == (side == "right")
        mean = ManoHand(side=side).hands_mean.flatten().numpy()
        full = found.mano_pose[rows, 3:] + mean
        np.testing.assert_allclose(full, written.mano_pose[rows, 3:], atol=1e-5)
    np.testing.assert_allclose(found.betas, written.betas, atol=1e-6)


def test_a_given_left_model_has_its_own_components(root: Path, mano: ManoHand) -> None:
    swapped = ManoHand(side="left").hands_components.numpy()[::-1].copy()
    usual = read_dexycb(root, "s0_test", mano)
    other = read_dexycb(root, "s0_test", mano, left_components=swapped)
    moved = np.abs(usual.mano_pose - other.mano_pose).max(1) > 1e-3
    np.testing.assert_array_equal(moved, ~usual.is_right)


def test_left_hands_stand_on_their_labelled_wrist_whatever_the_translation(
    root: Path, mano: ManoHand
) -> None:
    """The stored translation belongs to the shipped left model, whose wrist lies elsewhere."""

    def shift(labels: dict[str, np.ndarray]) -> None:
        labels["pose_m"][0, 48:] += 0.01

    with relabelled(root / LEFT / "836212060125/labels_000000.npz", shift):
        found = read_dexycb(root, "s0_test", mano)
    left = found.select(np.flatnonzero(~found.is_right))
    wrist = mirror_points(mano.rest_joints(torch.from_numpy(left.betas))[:, 0]).numpy()
    np.testing.assert_allclose(wrist + left.translation, left.joints_3d[:, 0], atol=1e-6)


def test_another_hand_model_is_noticed(
    root: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    other = ManoHand(tips="dexycb")
    other.hands_components = other.hands_components.flip(0)
    read_dexycb(root, "s0_test", mano)
    assert "not the one they were made with" not in caplog.text
    read_dexycb(root, "s0_test", other)
    assert "not the one they were made with" in caplog.text


def test_a_pose_of_zeros_is_a_missing_label(root: Path, mano: ManoHand) -> None:
    with relabelled(root / LABELS, lambda labels: labels["pose_m"].fill(0)):
        found = read_dexycb(root, "s0_test", mano)
    assert found.has_mano.tolist() == [False, True, True, True, True]
    assert found.has_joints_3d.all()
    assert not found.translation[0].any()


def test_pixels_of_minus_one_are_missing_and_the_box_follows_the_3d_joints(
    tree: tuple[Path, FixtureHands], mano: ManoHand
) -> None:
    root, written = tree
    with relabelled(root / LABELS, lambda labels: labels["joint_2d"].fill(-1)):
        found = read_dexycb(root, "s0_test", mano)
    assert found.has_joints_2d.all(1).tolist() == [False, True, True, True, True]
    assert not found.joints_2d[0].any()
    np.testing.assert_allclose(found.boxes, written.boxes, atol=1e-3)


def test_a_sequence_more_or_less_is_refused_since_the_splits_count_them(
    root: Path, mano: ManoHand
) -> None:
    extra = root / "20200820-subject-03/20200820_235959"
    extra.mkdir()
    try:
        with pytest.raises(DataSetError, match=r"101 sequence folders, expected exactly 100"):
            read_dexycb(root, "s0_test", mano, partial=True)
    finally:
        extra.rmdir()


def test_a_missing_subject_is_named_and_left_out_only_on_request(
    root: Path, mano: ManoHand
) -> None:
    subject, away = root / "20200820-subject-03", root / "elsewhere"
    subject.rename(away)
    try:
        with pytest.raises(DataSetError, match="lacks 1 of the 8 subjects of the split, the first"):
            read_dexycb(root, "s0_test", mano)
        found = read_dexycb(root, "s0_test", mano, partial=True)
    finally:
        away.rename(subject)
    assert not found.is_right.any()
    assert found.flags["index"].tolist() == [-1, -1]


def test_a_subject_without_one_of_its_sequences_is_left_out_only_on_request(
    root: Path, mano: ManoHand
) -> None:
    """Which one is absent cannot be told, so neither can the place of the others."""
    sequence, away = root / "20200820-subject-03/20200820_000050", root / "elsewhere"
    sequence.rename(away)
    try:
        with pytest.raises(DataSetError, match=r"20200820-subject-03 \(99 of 100 sequences\)"):
            read_dexycb(root, "s0_test", mano)
        found = read_dexycb(root, "s0_test", mano, partial=True)
    finally:
        away.rename(sequence)
    assert not found.is_right.any()


def test_a_frame_without_its_label_file_keeps_the_places_of_the_others(
    root: Path, mano: ManoHand
) -> None:
    whole = read_dexycb(root, "s0_test", mano)
    with altered(root / LABELS):
        found = read_dexycb(root, "s0_test", mano, partial=True)
    assert found.ids == whole.ids[1:]
    assert found.flags["index"].tolist() == whole.flags["index"].tolist()[1:]


def test_another_folder_is_not_taken_for_the_set(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match="expected DexYCB's folder"):
        read_dexycb(tmp_path, "s0_test", mano, partial=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "partial: true"),
        (b"PK\x03\x04 and then nothing", "broken or not DexYCB's"),
        (b"", "broken or not DexYCB's"),
    ],
)
def test_a_broken_label_file_is_named(
    root: Path, mano: ManoHand, content: bytes | None, message: str
) -> None:
    with (
        altered(root / LABELS, content),
        pytest.raises(DataSetError, match=rf"labels_000000\.npz.*{message}"),
    ):
        read_dexycb(root, "s0_test", mano)


def test_labels_of_another_shape_or_kind_are_refused(root: Path, mano: ManoHand) -> None:
    def two_hands(labels: dict[str, np.ndarray]) -> None:
        labels["joint_3d"] = np.zeros((2, 21, 3), np.float32)

    def pickled(labels: dict[str, np.ndarray]) -> None:
        labels["pose_m"] = np.array([[None] * 51])

    for change, message in ((two_hands, r"expected \(1, 21, 3\)"), (pickled, "allow_pickle")):
        with (
            relabelled(root / LABELS, change),
            pytest.raises(DataSetError, match=message),
        ):
            read_dexycb(root, "s0_test", mano)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (f"{RIGHT}/meta.yml", b"num_frames: 2\n", "KeyError: 'mano_sides'"),
        (f"{RIGHT}/meta.yml", b"num_frames: [2\n", "not what DexYCB has there"),
        (f"{RIGHT}/meta.yml", None, "cannot be read"),
        (
            "calibration/mano_20200820_000000_subject-03_right/mano.yml",
            b"betas: [1.0, 2.0]",
            "cannot reshape",
        ),
        ("calibration/intrinsics/836212060125_640x480.yml", b"color: {fx: 1}", "KeyError: 'fy'"),
    ],
)
def test_a_broken_small_file_is_named(
    root: Path, mano: ManoHand, name: str, content: bytes | None, message: str
) -> None:
    with (
        altered(root / name, content),
        pytest.raises(DataSetError, match=f"{Path(name).name}.*{message}"),
    ):
        read_dexycb(root, "s0_test", mano)


def test_all_splits_of_a_setup_live_in_one_folder(root: Path, mano: ManoHand) -> None:
    write_dexycb(root, "s0_val", 2, seed=1)
    assert len(read_dexycb(root, "s0_val", mano)) == 2
    assert len(read_dexycb(root, "s0_test", mano)) == COUNT


def test_the_fixture_does_not_write_into_a_real_copy(tmp_path: Path) -> None:
    (tmp_path / "20200709-subject-01/20200709_141754").mkdir(parents=True)
    with pytest.raises(ValueError, match="nothing is written over real data"):
        write_dexycb(tmp_path, "s0_test")
