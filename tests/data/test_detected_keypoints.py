"""Detected joints: the file says what was found, the wrapper gives each hand its own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.freihand import write_freihand

from hand_pipeline.data.batch import true_keypoints
from hand_pipeline.data.detected_keypoints import (
    DetectedKeypoints,
    WithKeypoints,
    joined,
    keypoints_of,
    read_keypoints,
    write_keypoints,
)
from hand_pipeline.data.hand_dataset import HandDataset, LabelledSubset, LabelsConfig
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.hand_mix import HandMix, MixConfig, MixMember
from hand_pipeline.data.loader import OrderedDataset, batches_from
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.geometry.mano import ManoHand


def made_up(ids: list[str], size: int = 224, seed: int = 0) -> DetectedKeypoints:
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, size, (len(ids), 21, 2)).astype(np.float32)
    confidence = rng.uniform(0.1, 1, (len(ids), 21)).astype(np.float32)
    return DetectedKeypoints(tuple(ids), points, confidence, size, {"detector": "drawn"})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("freihand")
    write_freihand(folder, "training", count=3)
    return folder


@pytest.fixture
def hands(root: Path) -> HandImages:
    mano = ManoHand(tips="freihand")
    return HandImages(read_freihand(root, "training", mano), mano)


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    keypoints = made_up(["training/a", "training/b"])
    write_keypoints(tmp_path, "training", keypoints)
    found = read_keypoints(tmp_path, "training")
    assert (found.ids, found.image_size, found.settings) == (keypoints.ids, 224, keypoints.settings)
    np.testing.assert_array_equal(found.points, keypoints.points)
    np.testing.assert_array_equal(found.confidence, keypoints.confidence)
    assert found.fingerprint == keypoints.fingerprint


def test_the_fingerprint_follows_points_confidences_and_settings() -> None:
    one = made_up(["a", "b"])
    moved, surer = one.points.copy(), one.confidence.copy()
    moved[1, 20, 1] += 1
    surer[0, 0] = 0.05
    others = [
        replace(one, points=moved), replace(one, confidence=surer), replace(one, ids=("a", "c")),
        replace(one, settings={"detector": "other"}), replace(one, image_size=225),
    ]  # fmt: skip
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": ("a", "a")}, "1 hands have the id of another one"),
        ({"ids": ("a",)}, "of 1 hands"),
        ({"confidence": np.full((2, 21), 1.5, np.float32)}, "confidences outside 0 to 1"),
        ({"points": np.full((2, 21, 2), np.nan, np.float32)}, "not finite.*the first is a"),
    ],
)
def test_what_no_detector_can_have_seen_is_refused(change, message) -> None:
    with pytest.raises(DataSetError, match=message):
        replace(made_up(["a", "b"]), **change)


def test_files_that_are_not_keypoints_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="run the pipeline `detect` first"):
        read_keypoints(tmp_path, "training")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(DataSetError, match="damaged or no npz"):
        read_keypoints(tmp_path, "text")
    np.savez(tmp_path / "other.npz", ids=np.arange(3))
    with pytest.raises(DataSetError, match=r"holds no keypoints.*it has ids"):
        read_keypoints(tmp_path, "other")
    write_keypoints(tmp_path, "whole", made_up(["a"] * 1))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:300])
    with pytest.raises(DataSetError, match="damaged"):
        read_keypoints(tmp_path, "cut")


def test_each_hand_of_a_batch_gets_its_own_joints(hands: HandImages) -> None:
    keypoints = made_up(hands.ids[::-1])  # the file has another order
    wrapped = WithKeypoints(hands, keypoints)
    assert isinstance(wrapped, HandDataset)
    assert (len(wrapped), wrapped.ids, wrapped.num_missing) == (6, hands.ids, 0)
    batch = wrapped.collate([wrapped[4], wrapped[1]])
    assert batch.keypoints is not None
    for row, name in enumerate(batch.ids):
        expected = keypoints.points[keypoints.ids.index(name)]
        np.testing.assert_array_equal(batch.keypoints.points[row], expected)
    assert wrapped.fingerprint != hands.fingerprint
    assert wrapped.fingerprint != WithKeypoints(hands, made_up(hands.ids, seed=1)).fingerprint
    assert wrapped.crop_scale == hands.crop_scale
    moved = batch.to("cpu").keypoints
    assert moved is not None
    assert moved.points.equal(batch.keypoints.points)


def test_hands_that_the_file_lacks_are_an_error_unless_allowed(hands: HandImages) -> None:
    keypoints = made_up(hands.ids[:4])
    with pytest.raises(DataSetError, match=r"lack 2 of 6 hands.*training/00000004"):
        WithKeypoints(hands, keypoints)
    wrapped = WithKeypoints(hands, keypoints, missing="none")
    assert wrapped.num_missing == 2
    batch = wrapped.collate([wrapped[5], wrapped[0]])
    assert batch.keypoints is not None
    assert batch.keypoints.confidence[0].eq(0).all()
    assert batch.keypoints.points[0].eq(0).all()
    assert batch.keypoints.confidence[1].gt(0).all()
    nothing = WithKeypoints(hands, made_up([]), missing="none")
    batch = nothing.collate([nothing[0]])
    assert batch.keypoints is not None
    assert batch.keypoints.confidence.eq(0).all()


def test_pictures_of_another_size_are_refused(hands: HandImages) -> None:
    wrapped = WithKeypoints(hands, made_up(hands.ids, size=128))
    with pytest.raises(DataSetError, match="images of 128 x 128, these are 224 x 224"):
        wrapped.collate([wrapped[0]])


def test_a_photo_in_a_broken_ones_place_brings_its_own_joints(tmp_path: Path) -> None:
    write_freihand(tmp_path / "set", "training", count=3)
    (tmp_path / "set/training/rgb/00000001.jpg").write_bytes(b"\xff\xd8 no photo")
    mano = ManoHand(tips="freihand")
    manifest = read_freihand(tmp_path / "set", "training", mano)
    tolerant = HandImages(manifest, mano, bad_photos=tmp_path / "bad.jsonl")
    keypoints = made_up(tolerant.ids)
    wrapped = WithKeypoints(LabelledSubset(tolerant, LabelsConfig()), keypoints)
    batch = wrapped.collate([wrapped[1]])
    assert batch.ids == ("training/00000002",)
    assert batch.keypoints is not None
    np.testing.assert_array_equal(batch.keypoints.points[0], keypoints.points[2])


def test_a_mix_can_be_wrapped_and_its_members_can_be(hands: HandImages, tmp_path: Path) -> None:
    some = LabelledSubset(hands, LabelsConfig(fraction=0.5))
    plain = HandMix({"one": some, "two": hands}, {"one": 1.0, "two": 1.0})
    files = {"one": made_up(hands.ids), "two": made_up(hands.ids, seed=1)}
    for name, keypoints in files.items():
        write_keypoints(tmp_path, name, keypoints)
    around = WithKeypoints(plain, keypoints_of(tmp_path, plain))
    inside = HandMix(
        {"one": WithKeypoints(some, files["one"]), "two": WithKeypoints(hands, files["two"])},
        {"one": 1.0, "two": 1.0},
    )
    with pytest.raises(DataSetError, match=r"with three in detect\.sets"):
        keypoints_of(tmp_path, HandMix({"three": hands}, {"three": 1.0}))
    assert isinstance(around, OrderedDataset)
    np.testing.assert_array_equal(around.epoch_order(3, 1), plain.epoch_order(3, 1))
    assert not isinstance(WithKeypoints(hands, files["one"]), OrderedDataset)
    picked = [len(plain) - 1, 0, len(some), 1]
    first, second = (
        around.collate([around[i] for i in picked]),
        inside.collate([inside[i] for i in picked]),
    )
    assert first.ids == second.ids
    assert first.keypoints is not None
    assert second.keypoints is not None
    torch.testing.assert_close(first.keypoints, second.keypoints, rtol=0, atol=0)
    batch = next(batches_from(around, 4, seed=0)(0))
    assert batch.keypoints is not None


def test_a_member_without_keypoints_has_confidence_0_in_a_mix(hands: HandImages) -> None:
    seen = WithKeypoints(hands, made_up(hands.ids))
    mix = HandMix({"unseen": hands, "seen": seen}, {"unseen": 1.0, "seen": 1.0})
    batch = mix.collate([mix[6], mix[0]])
    assert batch.ids == ("seen/training/00000000", "unseen/training/00000000")
    assert batch.keypoints is not None
    assert batch.keypoints.confidence[0].gt(0).all()
    assert batch.keypoints.confidence[1].eq(0).all()


def test_a_mix_of_smaller_crops_reads_files_that_lie_elsewhere(root: Path, tmp_path: Path) -> None:
    mano = ManoHand(tips="freihand")
    manifest = read_freihand(root, "training", mano)
    whole, small = (
        HandImages(manifest, mano),
        HandImages(manifest, mano, HandCropConfig(crop_size=56)),
    )
    everything = whole.labels(np.arange(len(whole)), None)
    seen = DetectedKeypoints(
        tuple(whole.ids), everything.joints_2d.numpy(), np.ones((len(whole), 21)), 224
    )
    write_keypoints(tmp_path / "other", "training", seen)
    member = MixMember(path=root, split="training", keypoints=tmp_path / "other/training.npz")
    files = MixConfig(sets={"photos": member}).keypoint_files
    mix = HandMix({"photos": LabelledSubset(small, LabelsConfig())}, {"photos": 1.0})
    around = WithKeypoints(mix, keypoints_of(tmp_path, mix, files=files))
    batch = around.collate([around[i] for i in range(len(mix))])
    assert batch.images.shape[-1] == 56
    assert batch.keypoints is not None
    torch.testing.assert_close(batch.keypoints.points, batch.joints_2d)


def test_files_of_pictures_of_two_sizes_cannot_be_joined() -> None:
    with pytest.raises(DataSetError, match="one size"):
        joined({"a": made_up(["1"], size=64), "b": made_up(["1"], size=128)})


def test_true_keypoints_are_the_labels(hands: HandImages) -> None:
    batch = hands.collate([hands[0], hands[1]])
    has = batch.has_joints_2d.clone()
    has[1, 7] = False
    truth = true_keypoints(replace(batch, has_joints_2d=has))
    torch.testing.assert_close(truth.points, batch.joints_2d)
    assert truth.confidence.sum() == 41
    assert truth.confidence[1, 7] == 0
