"""Studies as they run: pruned, resumed, by several workers, one of them killed."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from sqlalchemy.pool import NullPool

from hand_pipeline.sweeps import tuning
from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.study import open_storage
from hand_pipeline.viz.tables import study_figure

from .test_tuning_config import LR
from .test_tuning_config import tuning as declare

pytestmark = pytest.mark.slow

WORKER = """
import pickle, sys
from pathlib import Path
from hand_pipeline.sweeps import project
from hand_pipeline.sweeps.tuning import tune
if __name__ == "__main__":
    project.PIPELINES = "toy_project.pipelines"
    tune(*pickle.loads(Path(sys.argv[1]).read_bytes()))
"""


def test_a_study_ends_with_its_best_as_a_configuration(project, machine):
    space = {
        "learn.lr": LR,
        "learn.ends": {"kind": "choice", "choices": ["well", "in an error"]},
        "prepare.size": {"kind": "int", "low": 2, "high": 5, "when": {"learn.ends": "well"}},
    }
    cfg = declare(space, trials=8, fixed={"learn.seed": 3})
    study = tuning.tune(project, cfg, machine)
    table = tuning.trials_table(study)
    assert len(table) == 8
    states = table["state"].value_counts().to_dict()
    assert states["complete"] + states["fail"] == 8
    failed = table[table["state"] == "fail"]
    assert failed["reason"].str.contains("FloatingPointError").all()
    assert failed["prepare.size"].isna().all()  # its condition does not hold
    best = tuning.best_run(project, cfg, study)["run"]
    assert best["pipelines"] == "prepare,learn"
    learn = best["params"]["learn"]
    expected = best["params"]["prepare"]["size"] * learn["lr"] + 3
    assert study.best_value == pytest.approx(expected)
    assert learn["seed"] == 3
    assert study_figure(table, tuning.importances(study), "toy").get_axes()
    again = tuning.tune(project, cfg, machine)  # nothing is left to do
    assert len(again.trials) == 8


def test_a_stored_study_with_another_space_is_refused(project, machine):
    tuning.tune(project, declare({"learn.lr": LR}, trials=1), machine)
    with pytest.raises(SweepError, match=r"other settings.*space learn.lr high was 1.0, is 2.0"):
        tuning.tune(project, declare({"learn.lr": {**LR, "high": 2.0}}, trials=1), machine)
    project.parameters["prepare"]["size"] = 9
    with pytest.raises(SweepError, match=r"parameters prepare size was 4, is 9"):
        tuning.tune(project, declare({"learn.lr": LR}, trials=1), machine)


def test_a_stored_study_of_other_code_is_refused(project, machine, monkeypatch):
    cfg = declare({"learn.lr": LR}, trials=1)
    tuning.tune(project, cfg, machine)
    monkeypatch.setattr("hand_pipeline.sweeps.tuning.code_hash", lambda module: "changed")
    with pytest.raises(SweepError, match=r"other settings.*code learn was \w+, is changed"):
        tuning.tune(project, cfg, machine)


def test_an_interrupted_trial_is_run_again_and_counts_once(project, machine, monkeypatch):
    run_plan, calls = tuning.run_plan, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) <= 2:
            raise KeyboardInterrupt
        return run_plan(*arguments)

    monkeypatch.setattr(tuning, "run_plan", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tuning.tune(project, declare({"learn.lr": LR}, trials=2), machine)
    table = tuning.trials_table(tuning.tune(project, declare({"learn.lr": LR}, trials=3), machine))
    assert table["state"].value_counts().to_dict() == {"complete": 3, "fail": 2}
    stands_in = table.dropna(subset=["retry of"])
    assert len(stands_in) == 2
    for number, lr in zip(stands_in["retry of"], stands_in["learn.lr"]):
        assert lr == table["learn.lr"][number]


def test_trials_worse_than_the_median_are_stopped(project, machine):
    cfg = declare(
        {"learn.lr": LR},
        trials=8,
        pruning={"record": "learn.loss.total", "startup_trials": 2},
        sampler="random",
    )
    table = tuning.trials_table(tuning.tune(project, cfg, machine))
    assert set(table["state"]) == {"complete", "pruned"}
    worst_kept = table[table["state"] == "complete"]["objective"].max()
    assert len(table[table["state"] == "pruned"]) >= 2
    assert worst_kept <= 4.0


def test_a_record_that_nobody_makes_is_told_after_the_first_trial(project, machine):
    cfg = declare({"learn.lr": LR}, trials=3, pruning={"record": "learn.loss"})
    with pytest.raises(SweepError, match=r"watches 'learn.loss', .*there are learn.grad_norm, .*"):
        tuning.tune(project, cfg, machine)


def stored_study(name: str, url: str) -> optuna.Study:
    """Without a pool: each look at a server would keep its connection, and it allows only 100."""
    storage = RDBStorage(url, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name=name, storage=storage)


def start_workers(project, machine, cfg, count: int) -> list[subprocess.Popen]:
    (project.root / "job").write_bytes(pickle.dumps((project, cfg, machine)))
    (project.root / "worker.py").write_text(WORKER)
    source = Path(tuning.__file__).parents[2]
    paths = [str(source), str(project.root / "src"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, str(project.root / "worker.py"), str(project.root / "job")]
    return [
        subprocess.Popen(command, env=environment, cwd=project.root, start_new_session=True)
        for _ in range(count)
    ]


def kill_one_of_two(project, machine, cfg, url: str) -> optuna.Study:
    """Two workers; one is killed with -9 in the middle of a trial, the other finishes the study."""
    killed, other = start_workers(project, machine, cfg, 2)
    end, trials = time.monotonic() + 200, []
    while time.monotonic() < end:
        try:
            trials = stored_study(cfg.study, url).get_trials()
        except Exception:  # not made yet
            assert killed.poll() is None
            time.sleep(0.2)
            continue
        # with values: a trial killed before it drew them has none to be run again with
        running = [t for t in trials if t.state == optuna.trial.TrialState.RUNNING and t.params]
        if len(running) == 2 and any(t.state.is_finished() for t in trials):
            break
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    assert other.wait(400) == 0
    return stored_study(cfg.study, url)


def check_none_lost_or_doubled(study: optuna.Study, count: int) -> None:
    complete = optuna.trial.TrialState.COMPLETE
    numbers = [
        t.system_attrs.get("failed_trial", t.number) for t in study.trials if t.state == complete
    ]
    retried = [t for t in study.trials if "failed_trial" in t.system_attrs]
    assert sorted(numbers) == [t.number for t in study.trials if t not in retried]
    assert len(numbers) == count
    assert len(retried) == 1
    first = study.trials[retried[0].system_attrs["failed_trial"]]
    assert first.state == optuna.trial.TrialState.FAIL
    assert first.params == retried[0].params
    assert len(study.trials) == count + 1


def test_of_two_workers_on_sqlite_one_is_killed_and_no_trial_is_lost_or_doubled(project, machine):
    cfg = declare({"learn.lr": LR}, trials=6, fixed={"learn.seconds": 1.0}, heartbeat=1)
    url = f"sqlite:///{project.sweeps / 'studies.db'}"
    project.sweeps.mkdir(parents=True)
    check_none_lost_or_doubled(kill_one_of_two(project, machine, cfg, url), 6)


@pytest.mark.skipif(shutil.which("pg_ctl") is None, reason="PostgreSQL is not installed")
def test_of_two_workers_on_postgresql_one_is_killed_and_no_trial_is_lost_or_doubled(
    project, machine, tmp_path
):
    pytest.importorskip("psycopg", reason="pip install 'hand-pipeline[postgres]'")
    script = Path(__file__).parents[2] / "scripts/postgres_tuning.sh"
    told = tmp_path / "url"
    server = subprocess.Popen([str(script), "sh", "-c", f'echo "$STORAGE" > {told}; cat'], stdin=-1)
    try:
        end = time.monotonic() + 120
        while not (told.exists() and told.read_text().strip()):
            assert server.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < end
            time.sleep(0.1)
        url = told.read_text().strip()
        cfg = declare(
            {"learn.lr": LR}, trials=6, fixed={"learn.seconds": 1.0}, heartbeat=1, storage=url
        )
        with ThreadPoolExecutor(8) as pool:  # all find it empty, and each would make the tables
            assert len(list(pool.map(lambda _: open_storage(url, cfg), range(8)))) == 8
        check_none_lost_or_doubled(kill_one_of_two(project, machine, cfg, url), 6)
    finally:
        server.communicate(b"")  # the script stops the server when its command ends


def test_a_database_that_cannot_be_reached_is_told(project, machine):
    pytest.importorskip("psycopg", reason="pip install 'hand-pipeline[postgres]'")
    cfg = declare({"learn.lr": LR}, storage="postgresql+psycopg://me:secret@127.0.0.1:1/none")
    with pytest.raises(SweepError, match="cannot be opened") as error:
        tuning.tune(project, cfg, machine)
    assert "secret" not in str(error.value)


def test_the_best_run_is_what_kedro_takes(project, machine):
    cfg = declare({"learn.lr": LR}, trials=1)
    study = tuning.tune(project, cfg, machine)
    best = json.loads(json.dumps(tuning.best_run(project, cfg, study)))
    from kedro.framework.cli.project import run

    assert best["run"].keys() <= {parameter.name for parameter in run.params}
