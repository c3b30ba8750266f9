"""Crops and labels of a manifest: they belong together, and left hands are shown as right ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fixtures.scene import FixtureHands, draw, make_hands

from hand_pipeline.data.hand_dataset import HandDataset
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.manifest import DataSetError, HandManifest, build_manifest
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand

WIDTH, HEIGHT = SIZE = (240, 200)
CROP = HandCropConfig(crop_size=96)


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture(scope="module")
def hands() -> FixtureHands:
    """Right, left, right, left; boxes on whole and even px, so that squares need no rounding."""
    made = make_hands(4, SIZE, sides="both", seed=3)
    return replace(made, boxes=(np.round(made.boxes / 4) * 4).astype(np.float32))


def manifest(root: Path, hands: FixtureHands, **changes: Any) -> HandManifest:
    count = len(hands)
    given: dict[str, Any] = {
        "boxes": hands.boxes, "is_right": hands.is_right, "intrinsics": hands.intrinsics,
        "joints_2d": hands.joints_2d, "joints_3d": hands.joints_3d, "mano_pose": hands.mano_pose,
        "betas": hands.betas, "translation": hands.translation,
    } | changes  # fmt: skip
    names = [str(row) for row in range(count)]
    images = [f"{row}.png" for row in range(count)]
    return build_manifest("made", "all", root, names, images, **given)


@pytest.fixture
def root(tmp_path: Path, hands: FixtureHands) -> Path:
    for row in range(len(hands)):
        Image.fromarray(draw(hands, [row])).save(tmp_path / f"{row}.png")
    return tmp_path


def test_labels_of_both_sides_agree_with_each_other_and_the_camera(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    images = HandImages(manifest(root, hands), mano, CROP)
    assert isinstance(images, HandDataset)
    batch = images.collate([images[row] for row in range(4)])
    assert batch.images.shape == (4, 3, 96, 96)
    torch.testing.assert_close(
        project(batch.joints_3d, batch.intrinsics), batch.joints_2d, atol=2e-3, rtol=0
    )
    mesh = mano(batch.mano_pose, batch.betas)  # the right hand's model for all
    place = batch.joints_3d[:, :1] - mesh.joints[:, :1]
    torch.testing.assert_close(mesh.joints + place, batch.joints_3d, atol=1e-5, rtol=0)
    torch.testing.assert_close(mesh.vertices + place, batch.vertices, atol=1e-5, rtol=0)
    assert (torch.linalg.det(batch.intrinsics) > 0).all()
    assert (torch.linalg.det(batch.mano_pose) > 0.99).all()
    assert batch.has_vertices.all()


def test_a_left_hand_is_the_right_hand_of_the_mirrored_photo_exactly(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    left = np.flatnonzero(~hands.is_right)
    found = HandImages(manifest(root, hands).select(left), mano, CROP)
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    camera = hands.intrinsics[left].copy()
    camera[:, 0, 2] = WIDTH - camera[:, 0, 2]
    boxes = hands.boxes[left][:, [2, 1, 0, 3]]
    boxes[:, [0, 2]] = WIDTH - boxes[:, [0, 2]]
    pixels = hands.joints_2d[left].copy()
    pixels[..., 0] = WIDTH - pixels[..., 0]
    turned = hands.mano_pose[left].reshape(-1, 16, 3) * np.array([1, -1, -1], np.float32)
    (root / "mirrored").mkdir()
    for new, row in enumerate(left):
        photo = np.asarray(Image.open(root / f"{row}.png"))
        Image.fromarray(photo[:, ::-1]).save(root / f"mirrored/{new}.png")
    twins = manifest(
        root / "mirrored", hands_of(hands, left), boxes=boxes, intrinsics=camera,
        is_right=np.ones(len(left), dtype=bool), joints_2d=pixels,
        joints_3d=hands.joints_3d[left] * flip, mano_pose=turned.reshape(-1, 48),
        translation=hands.translation[left] * flip,
    )  # fmt: skip
    expected = HandImages(twins, mano, CROP)
    one = found.collate([found[row] for row in range(len(left))])
    two = expected.collate([expected[row] for row in range(len(left))])
    torch.testing.assert_close(one.images, two.images, atol=1, rtol=0)  # of 255: resizing rounds
    assert (one.images == two.images).float().mean() > 0.999
    for name in ("joints_3d", "mano_pose", "betas"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), atol=0, rtol=0)
    for name, limit in (("joints_2d", 1e-3), ("intrinsics", 1e-3), ("vertices", 1e-6)):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), atol=limit, rtol=1e-6)


def hands_of(hands: FixtureHands, rows: np.ndarray) -> FixtureHands:
    return replace(
        hands,
        **{
            name: value[rows]
            for name, value in vars(hands).items()
            if isinstance(value, np.ndarray)
        },
    )


def test_given_vertices_are_mirrored_too(root: Path, hands: FixtureHands, mano: ManoHand) -> None:
    """Those that come with the set, and those that follow from MANO's numbers, are the same."""
    rows = np.arange(4)
    derived = HandImages(manifest(root, hands), mano).labels(rows, None)
    given = HandImages(manifest(root, hands, vertices=hands.vertices), mano).labels(rows, None)
    torch.testing.assert_close(given.vertices, derived.vertices, atol=1e-6, rtol=0)
    assert given.images.shape == (4, 3, 0, 0)


@pytest.mark.parametrize("side", [12, 48, 70, 150], ids=["enlarged", "as is", "linear", "area"])
@pytest.mark.parametrize("is_right", [True, False])
def test_a_spot_in_the_crop_lies_where_its_label_says(
    tmp_path: Path, mano: ManoHand, side: int, is_right: bool
) -> None:
    photo = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    photo[90:94, 100:106] = 255  # centre 103, 92
    Image.fromarray(photo).save(tmp_path / "0.png")
    box = np.array([[98.0, 88.0, 98.0 + side, 88.0 + side / 2]])
    found = build_manifest(
        "made", "all", tmp_path, ["0"], ["0.png"], boxes=box, is_right=np.array([is_right]),
        joints_2d=np.tile(np.array([103.0, 92.0]), (1, 21, 1)),
    )  # fmt: skip
    images = HandImages(found, mano, CROP)
    batch = images.collate([images[0]])
    light = batch.images[0].double().mean(0)
    centres = torch.arange(96).double() + 0.5
    spot = torch.stack([(light.sum(0) * centres).sum(), (light.sum(1) * centres).sum()])
    torch.testing.assert_close(
        (spot / light.sum()).float(), batch.joints_2d[0, 0], atol=0.1, rtol=0
    )


def test_missing_labels_are_zero_and_say_so(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    some = np.ones((4, 21), dtype=bool)
    some[1, 3:] = False
    found = manifest(
        root, hands, has_joints_2d=some, has_joints_3d=~some, has_mano=np.array([1, 0, 1, 0]) > 0
    )
    batch = HandImages(found, mano).labels(np.arange(4), None)
    np.testing.assert_array_equal(batch.has_joints_2d, some)
    assert (batch.joints_2d[1, 3:] == 0).all()
    assert (batch.joints_2d[1, :3] != 0).all()
    assert (batch.joints_3d[torch.from_numpy(some)] == 0).all()
    assert batch.has_mano.tolist() == batch.has_vertices.tolist() == [True, False, True, False]
    for label in (batch.vertices, batch.mano_pose, batch.betas):
        assert (label[[1, 3]] == 0).all()
        assert (label[[0, 2]] != 0).any()


def test_an_unknown_camera_looks_at_the_middle_of_the_crop(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    known = np.array([True, True, False, False])
    images = HandImages(manifest(root, hands, has_intrinsics=known), mano, CROP)
    batch = images.labels(np.arange(4), None)
    middle = torch.tensor([[480.0, 0, 48], [0, 480, 48], [0, 0, 1]])
    torch.testing.assert_close(batch.intrinsics[2:], middle.expand(2, 3, 3), atol=0.01, rtol=0)
    torch.testing.assert_close(
        project(batch.joints_3d[:2], batch.intrinsics[:2]), batch.joints_2d[:2], atol=2e-3, rtol=0
    )


def test_a_broken_photo_is_replaced_by_the_next_and_noted(
    root: Path, hands: FixtureHands, mano: ManoHand, tmp_path: Path
) -> None:
    (root / "1.png").write_bytes((root / "1.png").read_bytes()[:200])
    (root / "3.png").unlink()
    images = HandImages(manifest(root, hands), mano, CROP, bad_photos=tmp_path / "run/bad.jsonl")
    batch = images.collate([images[row] for row in range(4)])
    assert batch.ids == ("0", "2", "2", "0")
    assert torch.equal(batch.images[0], batch.images[3])
    lines = [json.loads(line) for line in (tmp_path / "run/bad.jsonl").read_text().splitlines()]
    assert [Path(line["file"]).name for line in lines] == ["1.png", "3.png"]
    assert {line["reason"] for line in lines} <= {"truncated", "unreadable"}


def test_a_broken_photo_is_an_error_in_evaluation(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    (root / "1.png").write_bytes(b"")
    images = HandImages(manifest(root, hands), mano)
    with pytest.raises(
        DataSetError, match=r"1\.png the file has no bytes \(empty\); copy it again"
    ):
        images[1]


def test_only_broken_photos_are_an_error_and_noted_once_each(
    root: Path, hands: FixtureHands, mano: ManoHand, tmp_path: Path
) -> None:
    images = HandImages(
        manifest(root / "elsewhere", hands), mano, bad_photos=tmp_path / "bad.jsonl"
    )
    with pytest.raises(DataSetError, match=r"4 photos of made in a row .*check-data made"):
        images[2]
    assert len((tmp_path / "bad.jsonl").read_text().splitlines()) == 4


def test_whole_images_are_not_cropped_and_must_have_the_sets_size(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    photo = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(photo).save(root / "0.png")
    images = HandImages(manifest(root, hands, image_side=64), mano)
    np.testing.assert_array_equal(images[0].image.permute(1, 2, 0), photo)
    np.testing.assert_allclose(
        images.labels(np.array([0]), None).joints_2d[0], hands.joints_2d[0], rtol=1e-6
    )
    with pytest.raises(DataSetError, match="240 x 200 px, the set's are 64 x 64"):
        images[1]


def test_a_loop_over_the_hands_ends(root: Path, hands: FixtureHands, mano: ManoHand) -> None:
    images = HandImages(manifest(root, hands), mano)
    assert [sample.row for sample in images] == [0, 1, 2, 3]
    assert images[-1].row == 3
    with pytest.raises(IndexError, match="hand 4 of 4"):
        images[4]


def test_the_fingerprint_knows_labels_and_crops(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    found = manifest(root, hands)
    moved = manifest(root, hands, betas=hands.betas + np.float32(1e-6))
    prints = {
        HandImages(found, mano).fingerprint,
        HandImages(moved, mano).fingerprint,
        HandImages(found, mano, HandCropConfig(crop_scale=1.5)).fingerprint,
    }
    assert len(prints) == 3
    assert HandImages(manifest(root, hands), mano).fingerprint in prints


def test_the_crop_scale_is_how_much_wider_than_the_hand_crops_are(
    root: Path, hands: FixtureHands, mano: ManoHand
) -> None:
    assert HandImages(manifest(root, hands), mano, HandCropConfig(crop_scale=1.5)).crop_scale == 1.5
    boxes = np.tile(np.array([10.0, 20.0, 110.0, 70.0]), (4, 1))
    whole = manifest(root, hands, image_side=224, boxes=boxes)
    assert HandImages(whole, mano).crop_scale == pytest.approx(2.24)
