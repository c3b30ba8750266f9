"""Which photos the collect stage searches: sources first, then the user's, then synthetic ones."""

import logging
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from tests.fixtures.coco_unlabeled import write_coco_unlabeled

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.photos.collect import CollectConfig, CollectResult
from hand_pipeline.data.photos.files import NoPhotosError
from hand_pipeline.data.synthetic.config import PhotosConfig
from hand_pipeline.pipelines import collect as nodes

MACHINE = MachineConfig(accelerator="cpu")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    return tmp_path / "photos"


def test_named_sources_take_the_place_of_the_photos_folder(photos: Path, tmp_path: Path) -> None:
    (photos / "mine.jpg").touch()
    found = nodes.gather_photos(photos, {"coco": str(tmp_path)}, PhotosConfig(), MACHINE)
    assert found == {"coco": tmp_path}


def test_photos_missing_of_coco_are_counted_and_stop_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_coco_unlabeled(tmp_path, 2)[1].unlink()
    sources = {"coco": str(tmp_path / "unlabeled2017")}
    with caplog.at_level(logging.WARNING):
        found = nodes.gather_photos(tmp_path, sources, PhotosConfig(), MACHINE)
    assert found == {"coco": tmp_path / "unlabeled2017"}
    assert "coco: 1 photos that" in caplog.text
    assert "the first is 000000000004.jpg" in caplog.text


def test_without_sources_the_photos_folder_is_used(photos: Path) -> None:
    (photos / "mine.jpg").touch()
    assert nodes.gather_photos(photos, {}, PhotosConfig(), MACHINE) == [photos]


def test_a_missing_source_is_one_error_that_names_the_key(photos: Path, tmp_path: Path) -> None:
    sources = {"coco": str(tmp_path / "absent")}
    with pytest.raises(NoPhotosError, match=r"absent \(collect_sources\.coco\)"):
        nodes.gather_photos(photos, sources, PhotosConfig(), MACHINE)


def test_counts_and_yields_stand_by_source(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"photos": [4, 8, 12], "crops": [1, 8, 9]}
    summary = pd.DataFrame(columns, index=pd.Index(["coco", "freihand", "all"], name="set"))
    result = CollectResult(pd.DataFrame(), pd.DataFrame(), summary)
    monkeypatch.setattr(nodes, "collect_crops", lambda *_: result)
    monkeypatch.setattr(nodes, "ShardReader", lambda folder: folder)
    monkeypatch.setattr(nodes, "contact_sheet", lambda shards: Image.new("RGB", (1, 1)))
    sources = {"coco": tmp_path, "freihand": tmp_path}
    _, table, _, metrics, _ = nodes.collect_hands(sources, CollectConfig(), MACHINE)
    assert table["crops_per_photo"].tolist() == [0.25, 1.0, 0.75]
    assert metrics["crops_per_photo"] == {"coco": 0.25, "freihand": 1.0, "all": 0.75}
    assert metrics["photos"] == 12
    _, plain, _, counted, _ = nodes.collect_hands([photos], CollectConfig(), MACHINE)
    assert "crops_per_photo" not in plain
    assert "crops_per_photo" not in counted
