"""Which model a command runs, and what it says if that is not there or another."""

import importlib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from hand_pipeline.api import models
from hand_pipeline.api.models import MODELS, TRAINED, ModelError, find_checkpoint, load_model
from hand_pipeline.commands.predict import predict
from hand_pipeline.methods import method_class
from hand_pipeline.training.checkpoint import Checkpoint, save_checkpoint
from hand_pipeline.training.method import Reconstructor

CATALOG = Path(__file__).parents[2] / "conf" / "base" / "catalog.yml"


def test_a_method_stands_for_the_checkpoint_that_its_pipeline_leaves(tmp_path):
    path = tmp_path / MODELS / "maskhand_method.safetensors"
    with pytest.raises(ModelError, match="kedro run --pipelines maskhand"):
        find_checkpoint(None, "maskhand", tmp_path)
    path.parent.mkdir()
    path.touch()
    assert find_checkpoint(None, "maskhand", tmp_path) == path


def test_a_shipped_model_stands_in_where_the_pipelines_left_none(tmp_path, monkeypatch):
    shipped = tmp_path / "assets" / "models" / "maskhand.safetensors"
    shipped.parent.mkdir(parents=True)
    shipped.touch()
    monkeypatch.setattr(models, "files", lambda package: tmp_path / "assets")
    assert find_checkpoint(None, "maskhand", tmp_path) == shipped
    with pytest.raises(ModelError, match="kedro run --pipelines s2hand"):
        find_checkpoint(None, "s2hand", tmp_path)
    monkeypatch.setattr(models, "BEST", "maskhand")
    assert find_checkpoint(None, None, tmp_path) == shipped
    own = tmp_path / MODELS / "maskhand_method.safetensors"
    own.parent.mkdir()
    own.touch()
    assert find_checkpoint(None, "maskhand", tmp_path) == own
    assert find_checkpoint(None, None, tmp_path) == shipped  # the same for all who name none


def test_a_given_checkpoint_is_taken_whatever_the_pipelines_left(tmp_path):
    for method in (None, "handmim"):
        assert find_checkpoint(tmp_path / "own", method, tmp_path) == tmp_path / "own"


def test_without_a_method_the_one_that_needs_no_file_is_taken(tmp_path):
    assert find_checkpoint(None, None, tmp_path) is None
    assert type(load_model(None, "cpu")).__name__ == "MediaPipe"


@pytest.mark.parametrize("name", TRAINED)
def test_what_a_method_stands_for_is_made_and_can_be_rebuilt(name):
    trained = TRAINED[name]
    assert issubclass(method_class(trained.holds), Reconstructor)
    if trained.pipeline is None:  # nothing to make: it is there at once
        assert find_checkpoint(None, name, Path("nowhere")) is None
        assert type(load_model(None, "cpu", name)) is method_class(trained.holds)
        return
    filepath = yaml.safe_load(CATALOG.read_text())["{name}_method"]["filepath"]
    assert filepath.endswith(f"/{MODELS}/{{name}}_method.safetensors")
    stage = importlib.import_module(f"hand_pipeline.pipelines.{trained.pipeline}")
    assert f"{name}_method" in stage.create_pipeline().all_outputs()


@pytest.mark.parametrize("method", [None, "handmim", "supervised"])
def test_a_model_of_the_right_kind_is_loaded(untrained, method):
    model = load_model(untrained, "cpu", method)
    assert type(model).__name__ == "PyMAF"
    assert not model.training


def test_a_checkpoint_of_another_method_is_refused(untrained):
    with pytest.raises(ModelError, match="holds 'pymaf', but --method maskhand needs"):
        load_model(untrained, "cpu", "maskhand")


def test_a_method_that_reconstructs_no_hands_is_refused(tmp_path, monkeypatch, untrained):
    commands = importlib.import_module("hand_pipeline.api.models")
    monkeypatch.setattr(commands, "restore_method", lambda checkpoint, origin: object())
    with pytest.raises(ModelError, match="holds object, which reconstructs no hands"):
        load_model(untrained, "cpu")


def test_an_unknown_method_in_a_checkpoint_is_one_line_of_error(tmp_path):
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, Checkpoint({}, {"method": "another", "configs": {}}))
    with pytest.raises(ModelError, match="holds 'another'; known methods"):
        load_model(path, "cpu")


def test_predict_says_how_to_make_what_is_missing(tmp_path):
    (tmp_path / "a.jpg").touch()
    arguments = [str(tmp_path / "a.jpg"), "--out", str(tmp_path / "out"), "--data", str(tmp_path)]
    result = CliRunner().invoke(predict, [*arguments, "--method", "supervised"])
    assert result.exit_code == 1
    assert "make it with `kedro run --pipelines finetune`" in result.output
