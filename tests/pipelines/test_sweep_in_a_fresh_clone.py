"""A sweep as the first command: what it stands on is made first, and only what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes where the machine is shared


def kedro_run(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "kedro", "run", "--env", "smoke", *arguments]
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": str(project / "src")}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def run_names(project: Path) -> list[str]:
    client = MlflowClient(f"sqlite:///{project}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    return sorted(run.info.run_name for run in runs if "mlflow.parentRunId" not in run.data.tags)


def test_a_sweep_makes_what_it_stands_on_and_nothing_twice(fresh_project: Path) -> None:
    file = fresh_project / "conf/smoke/parameters.yml"
    declared = yaml.safe_load(file.read_text())
    declared["sweeps"]["ablations"]["members"] = [{"name": "all"}]
    declared["sweeps"]["own"] = {  # a sweep that only this profile has
        "title": "sizes",
        "chain": ["tokenizer"],
        "columns": {"PA-MPJPE mm": "tokenizer_scores_metrics:pa_mpjpe_mm"},
        "members": [{"name": "usual"}],
    }
    file.write_text(yaml.safe_dump(declared))

    said = kedro_run(fresh_project, "--pipeline", "ablations")
    assert "ablations needs hand_crops, labelled_hands, which are missing" in said
    assert "running first: collect, synthesize" in " ".join(said.split())
    data = fresh_project / "data/smoke"
    table = pd.read_csv(data / "08_reporting/ablations_table.csv")
    assert table["failed"].tolist() == [0]
    assert (data / "08_reporting/synthesize_metrics.json").exists()
    assert run_names(fresh_project) == ["ablations", "collect", "synthesize"]

    said = kedro_run(fresh_project, "--pipelines", "own")
    assert "not there yet" not in said
    assert pd.read_csv(data / "08_reporting/own_table.csv")["failed"].tolist() == [0]
    assert run_names(fresh_project) == ["ablations", "collect", "own", "synthesize"]
