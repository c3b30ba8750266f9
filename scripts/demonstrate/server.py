"""MLflow's server is killed in the middle of a training, and is back later."""

import json
import os
import socket
import urllib.request
from pathlib import Path

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run

from hand_pipeline.delivery import OWN
from hand_pipeline.spool import Spool
from scripts.demonstrate.stage import Process, Stage, kill, say

STEPS, EVERY = 3000, 10
PARAMETERS = (
    f"tokenizer.training.steps={STEPS}", f"tokenizer.training.log_every={EVERY}",
    "tokenizer.training.checkpoint_every=500",
)  # fmt: skip


def unreachable_server(stage: Stage) -> None:
    """The run goes on and keeps its records; `upload-records` sends them later."""
    stage.finish(stage.kedro("synthesize", "synthesize"), "synthesize")
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"  # of the looks below
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    server = _start_server(stage, url)
    client = MlflowClient(url)
    say("mlflow server is up")
    training = stage.kedro("tokenizer", "training", *PARAMETERS, MLFLOW_TRACKING_URI=url)
    stage.wait_for(lambda: _last_step(client) > EVERY, training, "training")
    kill(server)
    say("server killed with -9 in the middle of the training")
    stage.finish(training, "training")
    say("the training went on to its end; it said:")
    for line in stage.said("training", "cannot be reached"):
        say("  " + line.replace(str(stage.root), "PROJECT"))

    spool = Spool(stage.root / "mlflow/spool")
    (kept,) = spool.runs()
    events = spool.events(kept)
    waiting = sum(len(event["rows"]) for event in events if event["do"] == "metrics")
    files = [Path(event["path"]).name for event in events if event["do"] == "artifact"]
    server = _start_server(stage, url)
    run = _run(client)
    run_id = run.info.run_id if run is not None and run.data.tags[OWN] == kept else ""
    stage.check(run_id != "", "the run that waits on disk is the one at the server")
    before = _values(client, run_id)
    say(f"at the server, started again: {_told(before)}, run {_status(client)}")
    say(f"on disk:                      {waiting} values, {len(files)} files, the run's end")
    _upload(stage, url)
    after = _values(client, run_id)
    say(f"at the server, uploaded:      {_told(after)}, run {_status(client)}")
    stage.check(0 < _count(before) < _count(after), "the kill was in the middle of the curves")
    stage.check(
        _count(before) + waiting == _count(after),
        f"{_count(before)} + {waiting} = {_count(after)} values: none missing, none doubled",
    )
    _check_values(stage, after)
    stored = {file.path for file in client.list_artifacts(run_id)}
    stage.check(set(files) <= stored, f"all files: {', '.join(sorted(files))}")
    stage.check(_status(client) == "FINISHED", "the run is FINISHED")
    _upload(stage, url)
    stage.check(_values(client, run_id) == after, "called again, it sends nothing")
    stage.check(
        not spool.runs() and not list(spool.folder.rglob("*.*")), "nothing of it stays on disk"
    )
    kill(server)


def _check_values(stage: Stage, after: dict[str, list[tuple[int, float]]]) -> None:
    """What MLflow has, beside what the pipeline wrote into its own files."""
    results = stage.data / "08_reporting"
    history = pd.read_csv(results / "tokenizer_history.csv", float_precision="round_trip")
    curves = {
        f"tokenizer.{name}": list(zip(history["step"].tolist(), history[name].tolist()))
        for name in history.columns
        if name != "step"
    }
    same = all(after.get(name) == rows for name, rows in curves.items())
    stage.check(
        same and history["step"].tolist() == list(range(EVERY, STEPS + 1, EVERY)),
        f"its {len(curves)} curves are those of tokenizer_history.csv, step by step",
    )
    scores = json.loads((results / "tokenizer_scores_metrics.json").read_text())
    final = {f"final.tokenizer_scores.{n}": v for n, v in scores.items() if not isinstance(v, dict)}
    stage.check(
        bool(final) and all(after.get(n) == [(0, float(v))] for n, v in final.items()),
        f"its {len(final)} final scores are those of tokenizer_scores_metrics.json",
    )


def _start_server(stage: Stage, url: str) -> Process:
    process = stage.start(
        "server", "mlflow", "server", "--host", "127.0.0.1", "--port", url.rpartition(":")[2],
        "--workers", "1", "--backend-store-uri", f"sqlite:///{stage.root}/server.db",
        "--artifacts-destination", str(stage.root / "artifacts"),
    )  # fmt: skip
    stage.wait_for(lambda: _is_up(url), process, "server")
    return process


def _is_up(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _upload(stage: Stage, url: str) -> None:
    process = stage.start("upload", "hand_pipeline", "upload-records", MLFLOW_TRACKING_URI=url)
    stage.finish(process, "upload")
    say("python -m hand_pipeline upload-records:")
    for line in stage.log("upload").read_text().splitlines():
        say("  " + line)


def _run(client: MlflowClient) -> Run | None:
    experiment = client.get_experiment_by_name("hand_pipeline")
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    return runs[0] if runs else None


def _last_step(client: MlflowClient) -> int:
    run = _run(client)
    if run is None or "tokenizer.loss.total" not in run.data.metrics:
        return 0
    history = client.get_metric_history(run.info.run_id, "tokenizer.loss.total")
    return max(point.step for point in history)


def _status(client: MlflowClient) -> str:
    run = _run(client)
    return str(run.info.status) if run else "unknown"


def _values(client: MlflowClient, run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Every value of every curve of the run, doubled ones too."""
    names = client.get_run(run_id).data.metrics
    found = {name: client.get_metric_history(run_id, name) for name in sorted(names)}
    return {n: sorted((point.step, point.value) for point in rows) for n, rows in found.items()}


def _count(values: dict[str, list[tuple[int, float]]]) -> int:
    return sum(len(rows) for rows in values.values())


def _told(values: dict[str, list[tuple[int, float]]]) -> str:
    steps = [step for step, _ in values.get("tokenizer.loss.total", [])]
    return f"{_count(values)} values up to step {max(steps, default=0)}"
