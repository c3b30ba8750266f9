"""`export`: from a checkpoint and a folder of data to a file, or one line on why not."""

import json

import pytest
from click.testing import CliRunner, Result
from tests.fixtures.write import write_fixture

from hand_pipeline.commands.export import export
from hand_pipeline.commands.score import score
from hand_pipeline.evaluation.submission import read_submission


@pytest.fixture
def run(tmp_path, untrained):
    def call(benchmark: str, *options: str, checkpoint=untrained) -> Result:
        data, out = str(tmp_path / "data"), str(tmp_path / "out")
        arguments = ["--benchmark", benchmark, "--data", data, "--out", out]
        return CliRunner().invoke(export, [*arguments, "--checkpoint", str(checkpoint), *options])

    return call


def test_a_partial_file_is_written_and_called_so(run, tmp_path):
    write_fixture("freihand", tmp_path / "data", "evaluation", 3)
    result = run("freihand", "--partial", "--batch-size", "2")
    assert result.exit_code == 0, result.output
    assert "freihand evaluation: 3 of 3960 hands" in result.output
    assert "PARTIAL, not for the leaderboard" in result.output
    joints, vertices = read_submission(tmp_path / "out/pred.zip")
    assert (joints.shape, vertices.shape) == ((3, 21, 3), (3, 778, 3))


@pytest.mark.parametrize(("name", "gone"), [
    ("freihand", "evaluation/rgb/00000001.jpg"), ("ho3d_v3", "evaluation/SM1/rgb/0009.jpg"),
])  # fmt: skip
def test_a_part_of_the_photos_is_exported_and_scored(run, tmp_path, name, gone):
    """As of FreiHAND with 200 of 3,960 photos: what is there is predicted, and so scored."""
    data = tmp_path / "data"
    write_fixture(name, data, "evaluation", 3)
    (data / gone).unlink()
    assert "lacks 1 of the" in run(name).output
    result = run(name, "--partial")
    assert result.exit_code == 0, result.output
    assert "evaluation: 2 of " in result.output
    scored = ["--benchmark", name, "--gt", str(data), "--pred", str(tmp_path / "out/pred.json")]
    assert "are missing" in CliRunner().invoke(score, scored).stderr
    result = CliRunner().invoke(score, [*scored, "--partial"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["num_samples"] == 2


def test_too_few_hands_are_one_line_of_error(run, tmp_path):
    write_fixture("freihand", tmp_path / "data", "evaluation", 2)
    result = run("freihand")
    assert result.exit_code == 1
    assert "Error: FreiHAND v2 evaluation was published with 3960 hands, here are 2" in (
        result.output
    )
    assert "--partial" in result.output


def test_data_of_another_set_are_one_line_of_error(run, tmp_path):
    write_fixture("freihand", tmp_path / "data", "evaluation", 2)
    result = run("ho3d_v3", "--partial")
    assert result.exit_code == 1
    assert "Error: " in result.output
    assert "evaluation.txt" in result.output


def test_a_file_that_is_no_checkpoint_is_one_line_of_error(run, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "other.safetensors").write_bytes(b"something")
    result = run("freihand", checkpoint=tmp_path / "other.safetensors")
    assert result.exit_code == 1
    assert "not a readable safetensors file" in result.output
