"""The node of the `export` pipeline."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.fixtures.write import write_fixture

from hand_pipeline.config import MachineConfig
from hand_pipeline.pipelines.export import ExportConfig, create_pipeline, export_submissions
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint

NOTHING = Checkpoint({}, {"method": "another"})


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(accelerator="cpu", workspace=tmp_path / "work")


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    write_fixture("freihand", tmp_path / "hands", "evaluation", 2)
    return tmp_path / "hands"


def test_each_benchmark_gets_a_folder_and_its_figures(tmp_path, hands, machine, untrained):
    write_fixture("hint", tmp_path / "hint", "TEST_epick_img", 3)
    places = {"freihand": "labelled_hands", "hint": str(tmp_path / "hint")}
    cfg = ExportConfig(benchmarks=places, partial=True)
    folder, metrics = export_submissions(hands, load_checkpoint(untrained), cfg, machine)
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert names == ["freihand/pred.json", "freihand/pred.zip", "hint/TEST_epick_img.json"]
    assert [metrics[name]["hands"] for name in places] == [2, 3]
    assert metrics["freihand"]["bytes"] == (folder / "freihand/pred.zip").stat().st_size
    assert not metrics["hint"]["complete"]
    json.dumps(metrics)


def test_a_checkpoint_file_takes_the_place_of_the_catalogs(hands, machine, untrained):
    places = {"freihand": "labelled_hands"}
    cfg = ExportConfig(benchmarks=places, partial=True, checkpoint=untrained)
    _, metrics = export_submissions(hands, NOTHING, cfg, machine)
    assert metrics["freihand"]["hands"] == 2


def test_only_the_model_that_is_exported_must_have_been_trained():
    inputs = create_pipeline().inputs()
    assert {name for name in inputs if name.endswith("_method")} == {"handmim_method"}


def test_a_catalog_model_that_reconstructs_nothing_is_refused(hands, machine):
    with pytest.raises(ValueError, match="the catalog's checkpoint holds 'another'"):
        export_submissions(hands, NOTHING, ExportConfig(), machine)


def test_no_benchmark_is_an_empty_folder(hands, machine, untrained):
    folder, metrics = export_submissions(hands, load_checkpoint(untrained), ExportConfig(), machine)
    assert list(folder.iterdir()) == []
    assert metrics == {}


def test_a_misspelt_benchmark_is_refused_before_anything_runs():
    with pytest.raises(ValidationError, match="unknown benchmark 'ho3d'; known: freihand, ho3d_v2"):
        ExportConfig(benchmarks={"ho3d": "/data/HO3D"})
