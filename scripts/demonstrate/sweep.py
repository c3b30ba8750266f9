"""A sweep is killed with -9 in a member's training and started again."""

import json
import time
from pathlib import Path

import pandas as pd
import yaml
from mlflow import MlflowClient

from hand_pipeline.training.checkpoint import load_checkpoint
from scripts.demonstrate.stage import Stage, kill, say

NAME = "tokenizer_sizes"
STEPS = 200
PARAMETERS = (f"tokenizer.training.steps={STEPS}", "tokenizer.training.checkpoint_every=20")
TRAINING, SCORING = "train_tokenizer", "evaluate_tokenizer"


def killed_sweep(stage: Stage) -> None:
    """Finished members are kept, the one in training goes on at its checkpoint."""
    stage.finish(stage.kedro("synthesize", "synthesize"), "synthesize")
    members = _members(stage)
    say(f"sweep {NAME}: {len(members)} members of {STEPS} training steps")
    started = time.monotonic()
    process = stage.kedro(NAME, "first start", *PARAMETERS)
    stage.wait_for(lambda: _in_the_middle(stage), process, "first start")
    kill(process)
    say(f"killed with -9 after {time.monotonic() - started:.0f} s, members done: {_done(stage)}")

    before = {folder: _files(folder) for folder in _whole(stage)}
    at_kill = time.time_ns()
    stopped = _checkpoint(stage)
    assert stopped is not None  # waited for
    folder, saved = stopped.parents[2], load_checkpoint(stopped).metadata
    say(f"in training at the kill: its checkpoint holds step {saved['step']} of {STEPS}")

    stage.finish(stage.kedro(NAME, "second start", *PARAMETERS), "second start")
    say("started again; the sweep said: " + stage.said("second start", "to do")[0][17:])
    say(f"\n  {'member':12} {'training':22} scoring")
    for member in members:
        record = json.loads((stage.data / f"sweeps/{NAME}/{member}/seed_0.json").read_text())
        told = {}
        for node, made in ((TRAINING, "tokenizer_method"), (SCORING, "tokenizer_scores_metrics")):
            place = Path(record["files"][made]).parent
            written = (place / "done.json").stat().st_mtime_ns
            told[node] = "kept" if written < at_kill else "run"
            if place == folder:
                told[node] = f"gone on at step {saved['step']}"
        say(f"  {member:12} {told[TRAINING]:22} {told[SCORING]}")
    say("")
    _check(stage, before, folder, saved, members)


def _check(
    stage: Stage, before: dict[Path, dict[str, int]], folder: Path, saved: dict, members: list[str]
) -> None:
    rewritten = [str(f) for f, files in before.items() if _files(f) != files]
    stage.check(
        not rewritten, f"no file of the {len(before)} stages done before the kill was written again"
    )
    history = pd.read_csv(folder / "tokenizer_history.csv", float_precision="round_trip")
    stage.check(
        history["step"].tolist() == list(range(1, STEPS + 1)),
        f"the killed training's history has each step from 1 to {STEPS} once",
    )
    # speeds are readings of the clock: the same ones mean that these steps were not run again
    speeds = [record["images_per_second"] for record in saved["history"]]
    stage.check(
        history["images_per_second"].tolist()[: len(speeds)] == speeds,
        f"its first {len(speeds)} steps have the clock's readings of before the kill",
    )
    table = pd.read_csv(stage.data / f"08_reporting/{NAME}_table.csv")
    stage.check(
        table["member"].tolist() == members and not table["failed"].any(),
        f"the table has all {len(members)} members, none failed",
    )
    _check_mlflow(stage, members)


def _check_mlflow(stage: Stage, members: list[str]) -> None:
    client = MlflowClient(f"sqlite:///{stage.root}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = {run.info.status: run.info.run_id for run in runs if run.info.run_name == NAME}
    below = [
        run for run in runs
        if run.data.tags.get("mlflow.parentRunId") == parents.get("FINISHED", "none")
    ]  # fmt: skip
    curves = [client.get_metric_history(run.info.run_id, "tokenizer.loss.total") for run in below]
    whole = all([m.step for m in curve] == list(range(1, STEPS + 1)) for curve in curves)
    names = sorted(run.data.tags["member"] for run in below)
    stage.check(
        parents.keys() == {"KILLED", "FINISHED"} and names == sorted(members) and whole,
        "MLflow: the first start is KILLED; the second has each member once, with a whole curve",
    )


def _members(stage: Stage) -> list[str]:
    declared = yaml.safe_load((stage.root / "conf/base/parameters_sweeps.yml").read_text())
    return [member["name"] for member in declared["sweeps"][NAME]["members"]]


def _in_the_middle(stage: Stage) -> bool:
    """Two members are done and another has a checkpoint."""
    return _done(stage) >= 2 and _checkpoint(stage) is not None


def _done(stage: Stage) -> int:
    return len(list(stage.data.glob(f"sweeps/{NAME}/*/seed_0.json")))


def _checkpoint(stage: Stage) -> Path | None:
    """Of the training under way."""
    pattern = f"sweeps/work/{TRAINING}/*/running/*/[!.]*.safetensors"
    found = [p for p in stage.data.glob(pattern) if not (p.parents[2] / "done.json").exists()]
    return found[0] if found else None


def _whole(stage: Stage) -> list[Path]:
    """Folders of the stages that are done."""
    return [file.parent for file in stage.data.glob("sweeps/work/*/*/done.json")]


def _files(folder: Path) -> dict[str, int]:
    """When each result was written."""
    return {f.name: f.stat().st_mtime_ns for f in folder.iterdir() if f.name != "lock"}
