"""`sweeps` runs each sweep as its own `kedro run`, carries on after a failure and says so."""

from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

from hand_pipeline.commands import sweeps as command

NAMES = ["good", "broken", "late"]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A project of three sweeps whose `kedro run` is played; what was called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/base").mkdir(parents=True)
    (tmp_path / "conf/smoke").mkdir()
    declared = yaml.safe_dump({"sweeps": dict.fromkeys(NAMES[:2])}, sort_keys=False)
    Path("conf/base/parameters_sweeps.yml").write_text(declared)
    Path("conf/smoke/parameters.yml").write_text("sweeps: {late: {}}\n")  # a profile's own
    (tmp_path / "conf/smoke/globals.yml").write_text("data: data/smoke\n")
    called: list[list[str]] = []

    def play(line: list[str], output: Path) -> command.Ended:
        called.append(line)
        if "--pipelines" not in line:
            return command.Ended(0, 1.0)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text("a long story\nSweepError: nothing was run\n")
        name = line[line.index("--pipelines") + 1]
        reporting = tmp_path / "data/smoke/08_reporting"
        reporting.mkdir(parents=True, exist_ok=True)
        rows = [{"member": "all", "seed": 0, "status": "finished", "reason": ""}]
        if name != "late":
            rows += [{**rows[0], "member": "none", "status": "failed", "reason": "loss is nan"}]
        pd.DataFrame(rows).to_csv(reporting / f"{name}_runs_table.csv", index=False)
        return command.Ended(1 if name == "broken" else 0, 40.0)

    monkeypatch.setattr(command, "_call", play)
    return called


def test_every_sweep_runs_in_its_profile_and_has_its_line(calls: list[list[str]]) -> None:
    result = CliRunner().invoke(command.sweeps, ["good", "late", "--workers", "2"])
    assert result.exit_code == 0, result.output
    ran = [line[line.index("--pipelines") + 1] for line in calls]
    assert ran == ["good", "late", "claims"]
    assert all(line[line.index("--env") + 1] == "smoke" for line in calls)
    assert calls[0][-2:] == ["--params", "machine.sweep_workers=2"]
    assert "2 members, 2 runs, 1 failed" in result.output
    assert "1 members, 1 runs, 0 failed" in result.output
    assert "none seed 0: loss is nan" in result.output
    assert "2 sweeps: 1 min 20 s" in result.output


def test_a_failed_sweep_is_told_with_its_last_words_and_the_others_run(
    calls: list[list[str]],
) -> None:
    result = CliRunner().invoke(command.sweeps, [])
    assert result.exit_code == 1
    assert [line[-1] for line in calls] == [*NAMES, "claims"]
    assert "SweepError: nothing was run" in result.output


def test_in_the_base_profile_dvc_is_told_of_each_sweep_without_failures(
    calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    committed: list[str] = []
    monkeypatch.setattr(command, "_commit", committed.append)
    CliRunner().invoke(command.sweeps, ["late"])
    assert committed == []
    Path("conf/base/globals.yml").write_text("data: data/smoke\n")
    Path("conf/base/parameters.yml").write_text("sweeps: {late: {}}\n")
    calls.clear()
    CliRunner().invoke(command.sweeps, ["--env", "base"])
    assert committed == ["late"]
    assert calls[0][1:] == ["repro", *command.GROUND]


def test_unknown_sweeps_and_profiles_are_refused_before_anything_runs(
    calls: list[list[str]],
) -> None:
    for arguments, message in ((["gone"], "there are good, broken, late"),
                               (["--env", "gone"], "there are smoke")):  # fmt: skip
        result = CliRunner().invoke(command.sweeps, arguments)
        assert result.exit_code == 1
        assert message in result.output
    assert calls == []
