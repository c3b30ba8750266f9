"""A sweep killed with -9 between and within members goes on where it stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from tests.fixtures.write import write_fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # minutes where the machine is shared

NAME = "tokenizer_sizes"
WORK = "data/smoke/sweeps/work"
STEPS = 60


def declare(project: Path) -> None:
    """Two members with one seed, long enough to be killed in."""
    file = project / "conf/smoke/parameters.yml"
    declared = yaml.safe_load(file.read_text())
    declared["sweeps"][NAME] = {
        "outputs": [],
        "seeds": [0],
        "members": [
            {"name": f"tokens_{n}", "overrides": {"tokenizer.method.num_tokens": n}}
            for n in (16, 32)
        ],
    }
    declared["tokenizer"]["training"] |= {"steps": STEPS, "checkpoint_every": 5}
    file.write_text(yaml.safe_dump(declared))


def start(project: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--env", "smoke", "--pipelines", NAME],
        cwd=project,
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": str(project / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_the_second(project: Path, process: subprocess.Popen[bytes]) -> Path:
    """Folder of the second member's training, once the first is done and it has a checkpoint."""
    end = time.monotonic() + 400
    while time.monotonic() < end:
        if list(project.glob(f"{WORK}/evaluate_tokenizer/*/done.json")):
            found = list(project.glob(f"{WORK}/train_tokenizer/*/running/*/[!.]*.safetensors"))
            if found:
                return found[0].parents[2]
        assert process.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.05)
    raise TimeoutError("the second member never wrote a checkpoint")


def test_a_killed_sweep_goes_on_and_runs_nothing_twice(
    project: Path, kedro_run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = (project / "conf/smoke/parameters.yml").read_text()
    hands = project / "data/smoke/02_intermediate/synthetic_hands"
    if not hands.exists():  # another test may have drawn them
        for split in ("training", "evaluation"):
            write_fixture("freihand", hands, split, 4)
    try:
        declare(project)
        process = start(project)
        try:
            running = wait_for_the_second(project, process)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not (running / "done.json").exists()
        done = {p: p.stat().st_mtime_ns for p in project.glob(f"{WORK}/*/*/done.json")}
        again = kedro_run("--pipelines", NAME)
        assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    finally:
        (project / "conf/smoke/parameters.yml").write_text(before)
    assert {p: p.stat().st_mtime_ns for p in done} == done
    assert len(list(project.glob(f"{WORK}/*/*/done.json"))) == 4
    history = pd.read_csv(running / "tokenizer_history.csv")
    assert history["step"].tolist() == list(range(1, STEPS + 1))
    assert not (running / "running").exists()
    table = pd.read_csv(project / f"data/smoke/08_reporting/{NAME}_table.csv")
    assert table["member"].tolist() == ["tokens_16", "tokens_32"]
    assert table["failed"].tolist() == [0, 0]
    assert table["PA-MPJPE mm"].gt(0).all()
    metrics = json.loads((project / f"data/smoke/08_reporting/{NAME}_metrics.json").read_text())
    assert metrics["tokens_32"]["finished"] == 1

    client = MlflowClient(f"sqlite:///{project}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = {r.info.status: r for r in runs if r.info.run_name == NAME}
    assert parents.keys() == {"KILLED", "FINISHED"}
    latest = parents["FINISHED"].info.run_id
    assert not [r for r in runs if r.info.status == "RUNNING"]
    below = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == latest]
    assert sorted(r.info.run_name for r in below) == ["tokens_16 seed 0", "tokens_32 seed 0"]
    assert {r.info.status for r in below} == {"FINISHED"}
    (resumed,) = [r for r in below if r.info.run_name == "tokens_32 seed 0"]
    curve = client.get_metric_history(resumed.info.run_id, "tokenizer.loss.total")
    assert [m.step for m in curve] == list(range(1, STEPS + 1))
    assert resumed.data.params["tokenizer.method.num_tokens"] == "32"
