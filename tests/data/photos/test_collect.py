import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hand_pipeline.data.photos import collect_worker
from hand_pipeline.data.photos.collect import MANIFEST_NAME, CollectConfig, collect_crops
from hand_pipeline.data.photos.collect_worker import PhotoConfig, PhotoResult, process_photos
from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.data.shards.crops import CropDataset
from hand_pipeline.data.shards.files import ShardReader


class FakeDetector:
    """Finds a hand where the photo is bright: one a photo, a left one if its red is low."""

    calls = 0

    def __init__(self, cfg) -> None:
        self.cfg = cfg

    def __call__(self, photo: np.ndarray) -> list[Detection]:
        FakeDetector.calls += 1
        rows, columns = np.nonzero(photo[..., 1] > 128)
        if not len(rows):
            return []
        low = np.array([columns.min(), rows.min()], dtype=float)
        high = np.array([columns.max() + 1, rows.max() + 1], dtype=float)
        flat = np.random.default_rng(0).uniform(low, high, (21, 2))
        box = np.concatenate([low, high])
        side = "left" if photo[rows, columns, 0].mean() < 110 else "right"
        return [Detection(box, flat, np.zeros((21, 3)), side, 0.9, 1)]

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def fake_detector(monkeypatch):
    FakeDetector.calls = 0
    monkeypatch.setattr(collect_worker, "HandDetector", FakeDetector)


def photo(seed: int, hand: bool = True, side: int = 60, left: bool = False) -> np.ndarray:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 100, (160, 200, 3), dtype=np.uint8)
    if hand:
        coarse = generator.integers(130, 256, (6, 6, 3), dtype=np.uint8)
        patch = np.kron(coarse, np.ones((side // 6, side // 6, 1), np.uint8))
        patch[..., 0] = patch[..., 0] // 3 if left else patch[..., 0]
        image[40 : 40 + side, 70 : 70 + side] = patch
    return image


@pytest.fixture
def folder(tmp_path, as_jpeg):
    files = {
        "a/1.jpg": photo(1), "a/2.jpg": photo(2, left=True), "a/copy_of_1.jpg": photo(1),
        "a/nothing.jpg": photo(3, hand=False), "a/tiny.jpg": photo(4, side=24),
        "b/take/5.jpg": photo(5), "b/take/6.jpg": photo(6),
    }  # fmt: skip
    root = tmp_path / "photos"
    for name, pixels in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_jpeg(pixels))
    (root / "b" / "empty.jpg").write_bytes(b"")
    (root / "b" / "text.png").write_bytes(b"no picture")
    (root / "b" / "cut.jpg").write_bytes((root / "a" / "1.jpg").read_bytes()[:-500])
    return root


def collect(folder, out, **changes):
    return collect_crops([folder], out, CollectConfig(**changes), workers=0, progress=False)


def test_every_photo_and_hand_is_accounted_for(folder, tmp_path):
    result = collect(folder, tmp_path / "out")
    summary = result.summary
    assert list(summary.index) == ["a", "b", "all"]
    a, b = summary.loc["a"], summary.loc["b"]
    assert (a.photos, a.exact_duplicates, a.without_hand, a.with_hand) == (5, 1, 1, 3)
    assert (a.hands, a.small, a.crops) == (3, 1, 2)
    assert (b.photos, b.quarantined, b["empty"], b.not_an_image, b.truncated) == (5, 3, 1, 1, 1)
    assert b.crops == 2
    photos = summary[["quarantined", "exact_duplicates", "without_hand", "with_hand"]].sum(axis=1)
    assert (photos == summary.photos).all()
    drops = ["overlapping", "unsure", "small", "outside", "blurred", "near_duplicates", "crops"]
    assert (summary[drops].sum(axis=1) == summary.hands).all()
    assert set(result.quarantine.reason) == {"empty", "not_an_image", "truncated"}
    assert all(Path(name).is_file() for name in result.quarantine.file)


def test_crops_come_back_with_their_origin(folder, tmp_path):
    manifest = collect(folder, tmp_path / "out").manifest
    reader = ShardReader(tmp_path / "out")
    assert reader.keys == manifest.key.tolist()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / MANIFEST_NAME)[["key", "set"]],
                                  manifest[["key", "set"]])  # fmt: skip
    assert manifest[["file", "set", "group"]].to_numpy().tolist() == [
        ["a/1.jpg", "a", "a"],
        ["a/2.jpg", "a", "a"],
        ["b/take/5.jpg", "b", "b/take"],
        ["b/take/6.jpg", "b", "b/take"],
    ]
    for index, name in enumerate(manifest.file):
        meta = reader.meta(index)
        left, top, right, bottom = meta["box"]
        assert abs(left - 70) < 4
        assert abs(bottom - 100) < 4
        corner = np.array(meta["matrix"]) @ [(left + right) / 2, (top + bottom) / 2, 1]
        np.testing.assert_allclose(corner[:2], 128, atol=1.5)
        assert meta["mirrored"] == (name == "a/2.jpg")
    image, _ = CropDataset(reader)[0]
    assert tuple(image.shape) == (3, 256, 256)


def test_near_duplicates_are_dropped_and_counted_unless_switched_off(folder, tmp_path, as_jpeg):
    lighter = np.clip(photo(5).astype(int) + 3, 0, 255).astype(np.uint8)
    (folder / "b" / "take" / "7.jpg").write_bytes(as_jpeg(lighter))
    summary = collect(folder, tmp_path / "one").summary
    assert (summary.near_duplicates["b"], summary.crops["b"]) == (1, 2)
    summary = collect(folder, tmp_path / "two", max_hash_distance=-1).summary
    assert (summary.near_duplicates["b"], summary.crops["b"]) == (0, 3)


def test_a_stopped_run_goes_on_where_it_was_and_ends_the_same(folder, tmp_path, monkeypatch):
    whole = collect(folder, tmp_path / "whole")
    calls = FakeDetector.calls
    process = collect_worker.PhotoWorker.__call__
    seen = []

    def stop_after_four(self, key, path):
        seen.append(key)
        if len(seen) == 5:
            raise KeyboardInterrupt
        return process(self, key, path)

    monkeypatch.setattr(collect_worker.PhotoWorker, "__call__", stop_after_four)
    with pytest.raises(KeyboardInterrupt):
        collect(folder, tmp_path / "out")
    assert not (tmp_path / "out" / "index.parquet").exists()
    monkeypatch.setattr(collect_worker.PhotoWorker, "__call__", process)
    FakeDetector.calls = 0
    resumed = collect(folder, tmp_path / "out")
    assert FakeDetector.calls < calls
    pd.testing.assert_frame_equal(resumed.summary, whole.summary)
    pd.testing.assert_frame_equal(resumed.manifest, whole.manifest)
    assert ShardReader(tmp_path / "out").shards == ShardReader(tmp_path / "whole").shards
    assert not list((tmp_path / ".out.journal").iterdir())


def test_other_settings_do_not_take_up_old_notes(folder, tmp_path, monkeypatch):
    process = collect_worker.PhotoWorker.__call__

    def stop(self, key, path):
        if path.name == "6.jpg":
            raise KeyboardInterrupt
        return process(self, key, path)

    monkeypatch.setattr(collect_worker.PhotoWorker, "__call__", stop)
    with pytest.raises(KeyboardInterrupt):
        collect(folder, tmp_path / "out")
    monkeypatch.setattr(collect_worker.PhotoWorker, "__call__", process)
    collect(folder, tmp_path / "out", crop_size=128)
    image, _ = CropDataset(tmp_path / "out")[0]
    assert tuple(image.shape) == (3, 128, 128)


def test_photos_without_any_hand_leave_empty_shards_and_a_full_account(tmp_path, as_jpeg):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(as_jpeg(photo(1, hand=False)))
    result = collect(tmp_path / "photos", tmp_path / "out")
    assert len(ShardReader(tmp_path / "out")) == 0
    assert result.summary.without_hand["all"] == 1
    assert result.manifest.empty


def fragile_work(cfg: PhotoConfig, photos: list[tuple[str, Path]]) -> list[PhotoResult]:
    """Ends its process at photos with `kill` in their name."""
    if any("kill" in path.name for _, path in photos):
        os._exit(9)
    return [PhotoResult(key, {"hands": 0, "dropped": {}, "crops": []}) for key, _ in photos]


def test_a_photo_that_kills_its_process_is_quarantined_and_the_others_are_done(monkeypatch):
    monkeypatch.setattr(collect_worker, "_work", fragile_work)
    names = [f"{n}.jpg" for n in range(40)]
    names[7] = "kill_first.jpg"
    names[30] = "kill_second.jpg"
    photos = [(name, Path(name)) for name in names]
    results = {result.key: result.outcome for result in process_photos(photos, PhotoConfig(), 2)}
    assert set(results) == set(names)
    crashed = {k: o["detail"] for k, o in results.items() if o.get("reason") == "crashed"}
    ended = "its process ended with exit code 9"
    assert crashed == {"kill_first.jpg": ended, "kill_second.jpg": ended}


@pytest.mark.slow
def test_worker_processes_with_the_real_detector(
    tmp_path, hand_model, paint_hand, as_jpeg, monkeypatch
):
    monkeypatch.undo()
    root = tmp_path / "photos"
    root.mkdir()
    for number, side in enumerate(("right", "left", "right")):
        picture = paint_hand(side, 180 * (number == 2), 0.01 * number)
        (root / f"{number}_{side}.jpg").write_bytes(as_jpeg(picture))
    (root / "blank.jpg").write_bytes(as_jpeg(np.full((100, 100, 3), 99, np.uint8)))
    cfg = CollectConfig(model_path=hand_model)
    result = collect_crops([root], tmp_path / "out", cfg, workers=2, progress=False)
    assert result.manifest.handedness.tolist() == ["right", "left", "right"]
    assert result.summary.without_hand["all"] == 1
    meta = ShardReader(tmp_path / "out").meta(1)
    assert json.dumps(meta)
    thumb, pinky = np.array(meta["landmarks_2d"])[[4, 20], 0]
    assert thumb > pinky  # a right hand's palm, though the photo showed a left one


def test_sources_are_counted_apart(folder, tmp_path):
    sources = {"video": folder / "b", "stills": folder / "a"}
    result = collect_crops(sources, tmp_path / "out", CollectConfig(), workers=0, progress=False)
    assert list(result.summary.index) == ["stills", "video", "all"]
    assert result.summary.crops.tolist() == [2, 2, 4]
    assert result.manifest.group.tolist() == ["video/take"] * 2 + ["stills/."] * 2
