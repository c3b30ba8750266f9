"""Crops of photos as hands without labels."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.data.hand_dataset import HandDataset
from hand_pipeline.data.loader import batches_from
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardReader, ShardWriter
from hand_pipeline.geometry.camera import default_intrinsics, project, unproject

SIZE, SCALE = 32, 0.25
PHOTO = (400, 300)
CFG = PhotoHandsConfig(held_out=0.4)
POINTS = np.random.default_rng(0).uniform(8, 24, (21, 2))


def record(number: int, mirrored: bool = False, **changed) -> dict:
    """A crop of 128 px at (100, 80) of the photo, shown at 32 px."""
    matrix = np.array([[SCALE, 0, -25.0], [0, SCALE, -20.0], [0, 0, 1]])
    if mirrored:
        matrix = np.array([[-1.0, 0, SIZE], [0, 1, 0], [0, 0, 1]]) @ matrix
    meta = {
        "sha256": f"photo {number // 2}", "score": 0.9, "matrix": matrix.tolist(),
        "photo_size": PHOTO, "mirrored": mirrored, "landmarks_2d": POINTS.tolist(),
    }  # fmt: skip
    return {k: v for k, v in (meta | changed).items() if v is not None}


def shards(folder, records: list[dict]) -> ShardReader:
    buffer = io.BytesIO()
    Image.fromarray(np.full((SIZE, SIZE, 3), 77, np.uint8)).save(buffer, "PNG")
    with ShardWriter(folder) as writer:
        for number, meta in enumerate(records):
            writer.add(f"crop{number}", buffer.getvalue(), meta, suffix="png")
    return ShardReader(folder)


@pytest.fixture
def reader(tmp_path) -> ShardReader:
    return shards(tmp_path, [record(n, mirrored=n % 2 == 1) for n in range(20)])


def test_a_batch_has_keypoints_and_not_one_label(reader):
    hands = PhotoHands(reader, CFG)
    assert isinstance(hands, HandDataset)
    batch = next(batches_from(hands, 4, seed=0)(0))
    assert not any(
        getattr(batch, name).any()
        for name in ("has_joints_2d", "has_joints_3d", "has_mano", "has_vertices", "joints_3d")
    )
    assert batch.keypoints is not None
    np.testing.assert_allclose(batch.keypoints.points[0], POINTS, atol=1e-5)
    assert (batch.keypoints.confidence == 0.9).all()
    assert batch.images.unique().tolist() == [77]
    assert set(batch.ids) <= set(hands.ids)


def test_photos_stay_on_one_side_of_the_split_and_all_are_used(reader):
    learnt, held_out = PhotoHands(reader, CFG), PhotoHands(reader, CFG, held_out=True)
    assert sorted([*learnt.ids, *held_out.ids]) == sorted(reader.keys)
    photos = [{int(key[4:]) // 2 for key in hands.ids} for hands in (learnt, held_out)]
    assert all(photos)
    assert not photos[0] & photos[1]
    assert learnt.fingerprint != held_out.fingerprint


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_default_camera_is_the_photos_and_is_flagged(tmp_path, mirrored):
    hands = PhotoHands(shards(tmp_path, [record(n, mirrored) for n in range(9)]), CFG)
    assert hands.guessed.all()
    batch = hands.collate([hands[0]])
    # what the photo's camera sees at (x, y) lies in the crop where the crop's camera sees it
    pixel = torch.tensor([[150.0, 120.0]])
    point = unproject(pixel, torch.tensor([0.5]), default_intrinsics(*PHOTO))
    shown = point * torch.tensor([-1.0 if mirrored else 1.0, 1.0, 1.0])
    x = (150 - 100) * SCALE
    expected = torch.tensor([[SIZE - x if mirrored else x, (120 - 80) * SCALE]])
    torch.testing.assert_close(project(shown, batch.intrinsics[0]), expected)
    assert (batch.intrinsics[0].diagonal()[:2] > 0).all()


def test_a_known_camera_is_used_and_not_flagged(tmp_path):
    camera = [[500.0, 0, 200], [0, 500, 150], [0, 0, 1]]
    hands = PhotoHands(shards(tmp_path, [record(n, intrinsics=camera) for n in range(9)]), CFG)
    assert not hands.guessed.any()
    assert hands.collate([hands[0]]).intrinsics[0, 0, 0] == 500 * SCALE


def test_joints_outside_the_photo_count_for_nothing(tmp_path):
    points = POINTS.copy()
    points[:5, 0] = -40  # 60 px left of the photo's edge
    hands = PhotoHands(shards(tmp_path, [record(n, landmarks_2d=points.tolist())
                                         for n in range(9)]), CFG)  # fmt: skip
    batch = hands.collate([hands[0]])
    assert batch.keypoints is not None
    assert batch.keypoints.confidence[0].tolist() == pytest.approx([0.0] * 5 + [0.9] * 16)


def test_crops_are_skipped_by_rule_and_counted(tmp_path):
    far = POINTS - 1000
    broken = [
        record(0, landmarks_2d=None), record(1, landmarks_2d=POINTS[:20].tolist()),
        record(2, score=0.3), record(3, landmarks_2d=far.tolist()),
    ]  # fmt: skip
    reader = shards(tmp_path, [*(r | {"sha256": "photo 5"} for r in broken), record(10)])
    side = PhotoHands(reader, CFG, held_out="crop4" not in _ids(reader))
    assert side.skipped == {"without_detection": 2, "unsure": 1, "outside": 1}
    assert side.ids == ["crop4"]


def _ids(reader: ShardReader) -> list[str]:
    try:
        return PhotoHands(reader, CFG).ids
    except DataSetError:
        return []


def test_nothing_left_is_an_error_that_says_why(tmp_path):
    reader = shards(tmp_path, [record(n, score=0.1) for n in range(20)])
    with pytest.raises(DataSetError, match=r"'unsure'.*lower min_score"):
        PhotoHands(reader, CFG)


def test_the_crops_scale_is_that_of_the_landmarks(reader):
    assert PhotoHands(reader, CFG).crop_scale == pytest.approx(SIZE / np.ptp(POINTS, 0).max())
