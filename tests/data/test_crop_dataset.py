import io

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.data.loader import batches_from
from hand_pipeline.data.shards.crops import CropDataset, UnlabelledConfig, open_crops
from hand_pipeline.data.shards.files import ShardError, ShardWriter


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 8, 6, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, images):
    with ShardWriter(tmp_path, items_per_shard=2) as writer:
        for number, pixels in enumerate(images):
            writer.add(f"crop{number}", png(pixels), {"set": "some"}, suffix="png")
    return tmp_path


def test_a_crop_comes_back_channels_first_with_its_id(folder, images):
    image, key = CropDataset(folder)[3]
    assert key == "crop3"
    assert torch.equal(image, torch.from_numpy(images[3]).permute(2, 0, 1))


def test_chosen_crops_only(folder):
    dataset = CropDataset(folder, indices=[4, 1])
    assert [dataset[i][1] for i in range(len(dataset))] == ["crop4", "crop1"]
    assert dataset.meta(0) == {"set": "some"}


def test_a_share_of_the_crops_lies_within_a_larger_one(folder):
    shares = {f: open_crops(folder, UnlabelledConfig(fraction=f, seed=3)) for f in (0.2, 0.6, 1.0)}
    keys = {f: {crops[i][1] for i in range(len(crops))} for f, crops in shares.items()}
    assert [len(k) for k in keys.values()] == [1, 3, 5]
    assert keys[0.2] < keys[0.6] < keys[1.0]
    other = open_crops(folder, UnlabelledConfig(fraction=0.6, seed=4))
    prints = {crops.fingerprint for crops in (*shares.values(), other)}
    assert len(prints) == 4
    assert shares[1.0].fingerprint == shares[1.0].reader.fingerprint


def test_crops_become_an_image_batch(folder, images):
    dataset = CropDataset(folder)
    batch = dataset.collate([dataset[0], dataset[2]])
    assert batch.ids == ("crop0", "crop2")
    expected = torch.from_numpy(images[[0, 2]]).permute(0, 3, 1, 2)
    assert torch.equal(batch.images, expected)
    assert batch.images.is_contiguous()


def test_worker_processes_load_crops(folder):
    crops = CropDataset(folder)
    batch = next(batches_from(crops, 5, seed=0, num_workers=2)(0))
    assert sorted(batch.ids) == [f"crop{n}" for n in range(5)]


def test_an_undecodable_crop_is_named(tmp_path):
    with ShardWriter(tmp_path) as writer:
        writer.add("broken", b"not a jpeg", {})
    with pytest.raises(ShardError, match=r"'broken'.*cannot be decoded"):
        CropDataset(tmp_path)[0]


def test_further_pictures_come_after_the_crops_and_in_their_size(folder, tmp_path):
    drawn = tmp_path / "drawn" / "rgb"
    drawn.mkdir(parents=True)
    (drawn / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"drawn holds no \.jpg or \.png"):
        open_crops(folder, UnlabelledConfig(folders=(tmp_path / "drawn",)))
    for name, colour in (("b", (200, 0, 0)), ("a", (0, 0, 90))):
        Image.new("RGB", (20, 20), colour).save(drawn / f"{name}.png")
    cfg = UnlabelledConfig(fraction=0.2, folders=(tmp_path / "drawn",))
    crops = open_crops(folder, cfg)
    assert len(crops) == 1 + 2
    batch = crops.collate([crops[i] for i in range(3)])
    assert batch.images[1:, :, 0, 0].tolist() == [[0, 0, 90], [200, 0, 0]]
    assert batch.images.shape == (3, 3, 8, 6)
    before = crops.fingerprint
    Image.new("RGB", (20, 20), (1, 0, 90)).save(drawn / "a.png")
    assert open_crops(folder, cfg).fingerprint != before
    (drawn / "a.png").write_bytes(b"no picture")
    with pytest.raises(ShardError, match=r"a\.png cannot be decoded"):
        crops[1]
