"""Poses of labelled sets are those of their pictures; drawn ones are a function of their index."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.fixtures.freihand import write_freihand
from tests.fixtures.scene import make_hands

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import MixMember
from hand_pipeline.data.loader import OrderedDataset, batches_from
from hand_pipeline.data.manifest import DataSetError, HandManifest, build_manifest
from hand_pipeline.data.pose_set import (
    Poses,
    PosesConfig,
    PoseSet,
    open_training_poses,
    poses_of,
    read_poses,
    sample_poses,
)
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand

DRAWN = sample_poses(300, 0, ManoHand())


def manifest(tmp_path: Path, sides: str = "left", **labels: object) -> HandManifest:
    hands = make_hands(5, (160, 120), sides=sides, seed=1)
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(5)]
    return build_manifest(
        "some", "all", tmp_path, names, [f"{n}.jpg" for n in names], boxes=hands.boxes,
        is_right=hands.is_right, mano_pose=rng.normal(size=(5, 48)) * 0.3,
        betas=rng.normal(size=(5, 10)), **labels,
    )  # fmt: skip


def numbered(count: int, value: float = 0.0) -> Poses:
    pose = torch.eye(3).repeat(count, 16, 1, 1)
    return Poses(tuple(map(str, range(count))), pose, torch.full((count, 10), value))


@pytest.mark.parametrize("flat", [True, False])
def test_left_hands_are_mirrored_as_with_their_pictures(tmp_path: Path, flat: bool) -> None:
    left, mano = manifest(tmp_path, flat_hand_mean=flat), ManoHand()
    assert not left.is_right.any()
    expected = HandImages(left, mano).labels(np.arange(5), None)
    found = poses_of(left, mano)
    torch.testing.assert_close(found.mano_pose, expected.mano_pose)
    torch.testing.assert_close(found.betas, expected.betas)
    right = poses_of(replace(left, is_right=~left.is_right), mano)
    assert not torch.allclose(right.mano_pose, found.mano_pose)


def test_poses_of_the_catalogs_set_are_its_labels_and_open_no_picture(tmp_path: Path) -> None:
    write_freihand(tmp_path, "training", count=3)
    mano = ManoHand(tips="freihand")
    images = HandImages(read_hands("freihand", tmp_path, "training", mano), mano)
    expected = images.labels(np.arange(len(images)), None)
    for picture in (tmp_path / "training/rgb").glob("*.jpg"):
        if picture.name != "00000000.jpg":  # the reader asks the first for its size
            picture.write_bytes(b"no picture")
    found = read_poses("freihand", tmp_path, "training", None)
    assert len(images) == 6  # two grounds a shot
    assert found.ids == expected.ids[:3]
    torch.testing.assert_close(found.mano_pose, expected.mano_pose[:3])
    torch.testing.assert_close(found.betas, expected.betas[:3])


def test_a_shot_counts_once_and_unlabelled_hands_not_at_all(tmp_path: Path) -> None:
    has_mano = np.array([True, False, True, True, True])
    hands = manifest(tmp_path, shots=["a", "b", "c", "a", "d"], has_mano=has_mano)
    assert poses_of(hands, ManoHand()).ids == ("0", "2", "4")


def test_a_set_without_mano_labels_is_refused_by_name(tmp_path: Path) -> None:
    hands = manifest(tmp_path, has_mano=np.zeros(5, dtype=bool))
    with pytest.raises(DataSetError, match="some all has no MANO poses"):
        poses_of(hands, ManoHand())


def test_a_drawn_pose_depends_on_seed_and_index_alone() -> None:
    few = sample_poses(7, 0, ManoHand())
    assert torch.equal(few.mano_pose, DRAWN.mano_pose[:7])
    assert torch.equal(few.betas, DRAWN.betas[:7])
    assert not torch.allclose(sample_poses(7, 1, ManoHand()).mano_pose, few.mano_pose)


def test_drawn_poses_are_rotations_and_wrists_point_everywhere() -> None:
    determinant = torch.linalg.det(DRAWN.mano_pose)
    torch.testing.assert_close(determinant, torch.ones(300, 16))
    wrists = DRAWN.mano_pose[:, 0]
    assert wrists.mean(0).abs().max() < 0.15  # a uniform rotation's mean is 0
    angle = torch.acos(((wrists.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1))
    assert angle.mean().item() == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.15)


def test_each_source_is_drawn_by_its_weight() -> None:
    poses = PoseSet({"a": numbered(20), "b": numbered(80, 1.0)}, {"a": 3.0, "b": 1.0})
    assert isinstance(poses, OrderedDataset)
    assert len(poses.epoch_order(0, 0)) == 100
    batch = next(batches_from(poses, 100, seed=0)(0))
    assert (batch.betas[:, 0] == 0).sum() == 75
    assert all(i.split("/")[0] == ("b" if b else "a") for i, b in zip(batch.ids, batch.betas[:, 0]))


def test_sources_are_put_together_as_configured(tmp_path: Path) -> None:
    write_freihand(tmp_path, "training", count=3)
    other = MixMember(path=tmp_path, split="training", hand_set="freihand")
    cfg = PosesConfig(sets={"again": other}, synthetic_poses=10)
    poses = open_training_poses(tmp_path, cfg, None)
    assert [i.split("/")[0] for i in poses.ids] == ["labelled"] * 3 + ["again"] * 3 + [
        "synthetic"
    ] * 10
    alone = PosesConfig(labelled_weight=0, synthetic_poses=10)
    assert len(open_training_poses(tmp_path / "missing", alone, None)) == 10


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="none"):
        open_training_poses(Path("missing"), PosesConfig(labelled_weight=0), None)


def test_the_fingerprint_follows_poses_and_weights() -> None:
    def of(value: float = 0.0, weight: float = 1.0) -> str:
        members = {"a": numbered(20), "b": numbered(80, value)}
        return PoseSet(members, {"a": weight, "b": 1.0}).fingerprint

    assert of() == of()
    assert len({of(), of(value=1.0), of(weight=3.0)}) == 3
    assert len(of()) == len(hashlib.sha256().hexdigest())
