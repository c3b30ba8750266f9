"""FreiHAND's layout: what is written is read back, and MANO's numbers give the vertices again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.freihand import (
    FreiHandLabels,
    mano_numbers,
    read_freihand,
    read_labels,
    write_labels,
)
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

COUNT = 3


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="freihand")


@pytest.fixture
def labels(mano: ManoHand) -> FreiHandLabels:
    generator = torch.Generator().manual_seed(0)
    pose = axis_angle_to_matrix(torch.randn(COUNT, 16, 3, generator=generator) * 0.3)
    betas = torch.randn(COUNT, 10, generator=generator)
    hand = mano(pose, betas, torch.tensor([[0.0, 0.0, 0.6]]).expand(COUNT, 3))
    K = torch.tensor([[480.0, 0, 110], [0, 490, 115], [0, 0, 1]]).expand(COUNT, 3, 3)
    bone = (hand.joints[:, 9] - hand.joints[:, 10]).norm(dim=-1)
    numbers = mano_numbers(pose, betas, hand.joints, K, mano)
    return FreiHandLabels(
        K.numpy(), numbers.astype(np.float32), bone.numpy(), hand.vertices.numpy(),
        hand.joints.numpy(),
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path, labels: FreiHandLabels) -> Path:
    write_labels(tmp_path, "training", labels)
    (tmp_path / "training/rgb").mkdir(parents=True)
    for index in range(COUNT):
        image = Image.new("RGB", (224, 224), (index, 0, 0))
        image.save(tmp_path / f"training/rgb/{index:08d}.jpg", quality=100)
    return tmp_path


def test_labels_survive_the_round_trip_to_a_tenth_of_a_micrometre(
    root: Path, labels: FreiHandLabels
) -> None:
    back = read_labels(root, "training")
    np.testing.assert_allclose(back.verts, labels.verts, atol=1e-7)
    np.testing.assert_allclose(back.xyz, labels.xyz, atol=1e-7)
    np.testing.assert_allclose(back.mano, labels.mano, atol=2e-5)  # pixels among them


def test_the_files_have_freihands_nesting(root: Path) -> None:
    mano = json.loads((root / "training_mano.json").read_text())
    assert len(mano) == COUNT
    assert len(mano[0]) == 1
    assert len(mano[0][0]) == 61
    assert isinstance(json.loads((root / "training_scale.json").read_text())[0], float)


def test_mano_numbers_reproduce_vertices_and_place(labels: FreiHandLabels, mano: ManoHand) -> None:
    """Independent of the reader: the authors' recipe for the root, and our hand model."""
    numbers = torch.from_numpy(labels.mano)
    hand = mano(mano.full_pose(numbers[:, :48], flat_hand_mean=False), numbers[:, 48:58])
    K = torch.from_numpy(labels.K)
    focal = (K[:, 0, 0] + K[:, 1, 1]) / 2
    root = torch.cat([numbers[:, 58:60] - K[:, :2, 2], focal[:, None]], 1) / numbers[:, 60:]
    placed = hand.vertices + (root - hand.joints[:, 9])[:, None]
    torch.testing.assert_close(placed, torch.from_numpy(labels.verts), atol=1e-5, rtol=0)


def test_a_batch_projects_onto_its_2d_joints(root: Path, mano: ManoHand) -> None:
    dataset = HandImages(read_freihand(root, "training", mano), mano)
    batch = dataset.collate([dataset[i] for i in range(COUNT)])
    projected = project(batch.joints_3d, batch.intrinsics)
    torch.testing.assert_close(projected, batch.joints_2d, atol=1e-3, rtol=0)
    assert batch.images.dtype == torch.uint8
    assert batch.ids == ("training/00000000", "training/00000001", "training/00000002")


def test_mano_and_its_translation_reproduce_the_vertices(
    root: Path, mano: ManoHand, labels: FreiHandLabels
) -> None:
    found = read_freihand(root, "training", mano)
    pose = mano.full_pose(torch.from_numpy(found.mano_pose), found.flat_hand_mean)
    mesh = mano(pose, torch.from_numpy(found.betas), torch.from_numpy(found.translation))
    torch.testing.assert_close(mesh.vertices, torch.from_numpy(labels.verts), atol=1e-5, rtol=0)


def test_backgrounds_share_labels_and_shots(root: Path, mano: ManoHand) -> None:
    for index in range(COUNT):
        Image.new("RGB", (224, 224)).save(root / f"training/rgb/{index + COUNT:08d}.jpg")
    found = read_freihand(root, "training", mano)
    assert len(found) == 2 * COUNT
    assert found.shots[0] == found.shots[COUNT]
    assert found.vertices is not None
    np.testing.assert_array_equal(found.vertices[0], found.vertices[COUNT])
    assert len(read_freihand(root, "training", mano, versions=(1,))) == COUNT


def test_the_evaluation_split_is_read_without_labels_too(
    root: Path, mano: ManoHand, labels: FreiHandLabels
) -> None:
    (root / "training").rename(root / "evaluation")
    for name in ("K", "scale"):  # what FreiHAND_pub_v2 alone has
        (root / f"training_{name}.json").rename(root / f"evaluation_{name}.json")
    found = read_freihand(root, "evaluation", mano)
    assert not found.has_joints_3d.any()
    assert not found.has_mano.any()
    np.testing.assert_allclose(found.intrinsics, labels.K)


def test_a_missing_image_is_named(root: Path, mano: ManoHand) -> None:
    (root / "training/rgb/00000001.jpg").unlink()
    with pytest.raises(DataSetError, match=r"lacks 1 of the 3 images .*00000001\.jpg"):
        read_freihand(root, "training", mano)


def test_a_part_of_the_evaluation_photos_is_enough_on_request(root: Path, mano: ManoHand) -> None:
    """Photo i has the labels of row i, whichever others are there."""
    (root / "training").rename(root / "evaluation")
    for path in list(root.glob("training_*.json")):
        path.rename(path.with_name(path.name.replace("training", "evaluation")))
    whole = read_freihand(root, "evaluation", mano)
    (root / "evaluation/rgb/00000000.jpg").unlink()
    found = read_freihand(root, "evaluation", mano, partial=True)
    assert found.ids == ("evaluation/00000001", "evaluation/00000002")
    np.testing.assert_array_equal(found.joints_3d, whole.joints_3d[1:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[[1.0, 2.0], [1.0", "cut short"),
        ("[[1.0, 2.0], [1.0]]", "ragged"),
        ("[[1.0, 2.0]]", r"expected \(21, 3\)"),
        (json.dumps([[[float("nan")] * 3] * 21] * COUNT), "not finite"),
    ],
)
def test_a_broken_label_file_says_how(root: Path, content: str, message: str) -> None:
    (root / "training_xyz.json").write_text(content)
    with pytest.raises(DataSetError, match=message):
        read_labels(root, "training")


def test_files_of_two_releases_are_refused(root: Path) -> None:
    (root / "training_scale.json").write_text("[0.03]")
    with pytest.raises(DataSetError, match="disagree on the number of samples"):
        read_labels(root, "training")


def test_a_folder_of_something_else_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="expected FreiHAND's folder"):
        read_labels(tmp_path, "training")
