"""`hand_pipeline score`: one JSON object, warnings on both channels, one clear error."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hand_pipeline.commands.score import score


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Labels of three spread-out point sets in metres, and a prediction of them in millimetres."""
    rng = np.random.default_rng(0)
    joints, vertices = (rng.normal(size=(3, n, 3)) * 0.05 + [0, 0, 0.6] for n in (21, 778))
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(joints.tolist()))
    (tmp_path / "evaluation_verts.json").write_text(json.dumps(vertices.tolist()))
    pred = [(joints * 1000).tolist(), (vertices * 1000).tolist()]
    (tmp_path / "pred.json").write_text(json.dumps(pred))
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(score, [str(a) for a in arguments])


def of(files: Path, *more: str | Path) -> Result:
    common = ("--benchmark", "freihand", "--gt", files, "--pred", files / "pred.json")
    return run(*common, *more)


def test_stdout_is_one_json_object_with_the_warnings(files: Path) -> None:
    result = of(files)
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["benchmark"] == "freihand"
    assert shown["allow_reflection"] is True
    assert shown["xyz_al_auc3d"] == pytest.approx(0.994949, abs=1e-6)
    assert len(shown["warnings"]) == 1
    assert "millimetres where metres are expected" in shown["warnings"][0]
    assert f"Warning: {shown['warnings'][0]}" in result.stderr
    assert "Note: 3 hands scored" in result.stderr


def test_the_honest_view_and_the_samples_are_options(files: Path, tmp_path: Path) -> None:
    table = tmp_path / "samples.csv"
    result = of(files, "--no-reflection", "--per-sample", table)
    assert json.loads(result.stdout)["allow_reflection"] is False
    assert len(table.read_text().splitlines()) == 4
    refused = of(files, "--per-sample", tmp_path / "samples.txt")
    assert refused.exit_code == 1
    assert ".csv or .json" in refused.stderr


def test_errors_end_with_one_clear_message(files: Path) -> None:
    (files / "pred.json").write_text("[[], []]")
    for result in (
        of(files),
        of(files, "--split", "training"),
        run("--benchmark", "ho3d_v2", "--gt", files / "nowhere", "--pred", files / "pred.json"),
        run("--benchmark", "dexycb", "--gt", files / "evaluation_xyz.json", "--pred", files / "x"),
        run("--benchmark", "hint", "--gt", files, "--pred", files),
    ):
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert result.stdout == ""
        assert "Traceback" not in result.output
