"""Data sets write whole files or none."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from kedro.io.core import DatasetError

from hand_pipeline.catalog import AtomicDataset, CheckpointDataset, FolderDataset
from hand_pipeline.training.checkpoint import Checkpoint


def test_a_table_survives_the_round_trip(tmp_path: Path) -> None:
    dataset = AtomicDataset(
        filepath=str(tmp_path / "table.csv"),
        dataset={"type": "pandas.CSVDataset", "save_args": {"index": False}},
    )
    dataset.save(pd.DataFrame({"a": [1, 2]}))
    assert dataset.load()["a"].tolist() == [1, 2]


def test_a_save_that_fails_leaves_the_former_file_and_nothing_else(tmp_path: Path) -> None:
    dataset = AtomicDataset(filepath=str(tmp_path / "x.json"), dataset={"type": "json.JSONDataset"})
    dataset.save({"good": 1})
    with pytest.raises(DatasetError):
        dataset.save({"bad": object()})
    assert dataset.load() == {"good": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_checkpoint_survives_the_round_trip(tmp_path: Path) -> None:
    dataset = CheckpointDataset(filepath=str(tmp_path / "x.safetensors"))
    dataset.save(Checkpoint({"w": torch.arange(3.0)}, {"method": "toy"}))
    loaded = dataset.load()
    assert torch.equal(loaded.tensors["w"], torch.arange(3.0))
    assert loaded.metadata == {"method": "toy"}


def test_a_finished_folder_replaces_the_former_one(tmp_path: Path) -> None:
    dataset = FolderDataset(filepath=str(tmp_path / "out"))
    for content in ("one", "two"):
        made = tmp_path / "work"
        made.mkdir()
        (made / content).touch()
        dataset.save(made)
    assert [p.name for p in dataset.load().iterdir()] == ["two"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_a_folder_that_is_not_there_says_which_stage_to_run(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="run the stage that makes it"):
        FolderDataset(filepath=str(tmp_path / "absent")).load()
