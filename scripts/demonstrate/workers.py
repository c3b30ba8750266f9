"""Two Optuna workers on one PostgreSQL; one is killed with -9 in the middle of a trial."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import optuna
from mlflow import MlflowClient
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from scripts.demonstrate.stage import ROOT, Stage, kill, say

TRIALS = 6
STUDY = "tokenizer"
PARENT = "mlflow.parentRunId"


def has_database() -> bool:
    """Whether scripts/postgres_tuning.sh, or the user, has said where it is."""
    return "STORAGE" in os.environ


def beside_a_database() -> int:
    """Run this demonstration again under scripts/postgres_tuning.sh."""
    script = ROOT / "scripts/postgres_tuning.sh"
    again = [sys.executable, "-m", "scripts.demonstrate", "killed-worker"]
    return subprocess.call([str(script), *again])


def killed_worker(stage: Stage) -> None:
    """All trials end once: the dead worker's is told from a busy one's and run again."""
    url = os.environ["STORAGE"]
    stage.finish(stage.kedro("synthesize", "synthesize"), "synthesize")
    parameters = (
        f"tuning.storage={url}", f"tuning.trials={TRIALS}", "tuning.pruning.warmup_steps=50",
        "tokenizer.training.steps=100", "tokenizer.training.checkpoint_every=50",
    )  # fmt: skip
    workers = {name: stage.kedro("tuning", name, *parameters) for name in ("A", "B")}
    say(f"study of {TRIALS} trials in {url.partition(':')[0]}, two workers: kedro run ... tuning")
    for name, process in workers.items():
        stage.wait_for(partial(_in_study, stage, name), process, name)
    stage.wait_for(lambda: _in_the_middle(url), workers["A"], "A")
    kill(workers["A"])
    at_kill = _trials(url)
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING):
        numbers = [t.number for t in at_kill if t.state == state]
        say(f"  {state.name.lower():9} {', '.join(map(str, numbers)) or '-'}")
    say("worker A killed with -9 in that moment; B goes on")
    stage.finish(workers["B"], "B")

    trials, owners = _trials(url), _owners(stage, {w.pid: name for name, w in workers.items()})
    say(f"\n  {'trial':6} {'worker':7} {'state':9} {'PA-MPJPE mm':12} again as")
    again = {t.system_attrs["failed_trial"]: t for t in trials if _is_retry(t)}
    for t in trials:
        value = f"{t.value:.2f}" if t.state == TrialState.COMPLETE else "-"
        retry = str(again[t.number].number) if t.number in again else ""
        worker = "+".join(owners.get(t.number, ["-"]))
        say(f"  {t.number:<6} {worker:7} {t.state.name.lower():9} {value:12} {retry}")
    say("")
    _check(stage, trials, again, owners)


def _check(
    stage: Stage,
    trials: list[FrozenTrial],
    again: dict[int, FrozenTrial],
    owners: dict[int, list[str]],
) -> None:
    done = (TrialState.COMPLETE, TrialState.PRUNED)
    ended = [t.system_attrs.get("failed_trial", t.number) for t in trials if t.state in done]
    started = {t.number for t in trials if not _is_retry(t)}
    stage.check(
        set(ended) == started and len(started) == TRIALS,
        f"each of the {TRIALS} trials ended: none lost",
    )
    stage.check(len(ended) == len(set(ended)), "none ended twice: none doubled")
    lost = [t for t in trials if t.state == TrialState.FAIL]
    stage.check(
        len(lost) == 1 and list(again) == [lost[0].number] and len(trials) == TRIALS + 1,
        "one trial was queued again, that of the dead worker",
    )
    stage.check(
        all(t.params == trials[number].params for number, t in again.items()),
        "it was run again with the same parameters",
    )
    # killed before it opened the trial's run, A leaves none
    theirs = {t.number: owners.get(t.number, []) for t in trials if t not in lost}
    passed_on = [(owners.get(n, ["A"]), owners.get(t.number)) for n, t in again.items()]
    stage.check(
        all(len(names) == 1 for names in theirs.values()) and passed_on == [(["A"], ["B"])],
        "MLflow: each trial that ended is the child of one worker's run; A's last was done by B",
    )


def _is_retry(trial: FrozenTrial) -> bool:
    return "failed_trial" in trial.system_attrs


def _in_the_middle(url: str) -> bool:
    """Both workers are training, and a first trial has ended."""
    trials = _trials(url)
    running = [t for t in trials if t.state == TrialState.RUNNING]
    training = [t for t in running if t.intermediate_values]  # for the pruner
    return len(training) == 2 and any(t.state.is_finished() for t in trials)


def _in_study(stage: Stage, log: str) -> bool:
    """Its tables are not to be looked at half made."""
    return bool(stage.said(log, f"study {STUDY} in"))


def _trials(url: str) -> list[FrozenTrial]:
    """As the database has them."""
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name=STUDY, storage=storage).get_trials()


def _owners(stage: Stage, names: dict[int, str]) -> dict[int, list[str]]:
    """Workers by trial, as MLflow's children and their parents tell."""
    client = MlflowClient(f"sqlite:///{Path(stage.root)}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert experiment is not None
    runs = {run.info.run_id: run for run in client.search_runs([experiment.experiment_id])}
    found: dict[int, list[str]] = {}
    for run in runs.values():
        kind, _, number = run.data.tags.get("member", "").partition("_")
        if kind == "trial":
            parent = runs[run.data.tags[PARENT]].data.tags
            name = names[int(parent["process"].rpartition(":")[2])]
            found.setdefault(int(number), []).append(name)
    return {number: sorted(set(found[number])) for number in sorted(found)}
