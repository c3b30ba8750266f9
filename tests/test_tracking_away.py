"""Every record waits on disk until MLflow has it: nothing is lost, doubled or left behind."""

import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import Run

from hand_pipeline import delivery, spool, tracking
from hand_pipeline.commands.upload_records import upload_records
from hand_pipeline.delivery import Deliverer
from hand_pipeline.spool import Spool
from hand_pipeline.training.loop import Record

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, which take it seconds to make."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def away(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an MLflow of its own, which cannot be reached."""
    shutil.copy(empty, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(tracking.URI, NOWHERE)
    monkeypatch.setenv(spool.FOLDER, str(tmp_path / "spool"))
    monkeypatch.setenv(tracking.RUN, "")
    tracking._warn_once.cache_clear()
    return tmp_path


@pytest.fixture
def server(away: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that is there from the start."""
    uri = f"sqlite:///{away}/mlflow.db"
    monkeypatch.setenv(tracking.URI, uri)
    return uri


def a_run(folder: Path) -> None:
    """A parent with a member, as a sweep leaves them."""
    tracking.start_run("ablations", "hand_pipeline", None, {"kedro.env": "smoke"})
    tracking.log_params({"pretrain": {"lr": 0.1}})
    child = tracking.start_child("all seed 0", {"seed": 0})
    with tracking.logging_to(child):
        log = tracking.RecordLogger("pretrain", seconds=0.0)
        for step in (1, 2, 3):
            log(Record(step, 1.0 / step, {"pose": 0.5}))
        log.flush()
        (folder / "table.csv").write_text("kept as it was")
        tracking.log_artifact(folder / "table.csv")
        (folder / "table.csv").write_text("changed later")
        tracking.log_text("torch==2", "environment.txt")
    tracking.end_run(child, "FAILED", "FloatingPointError: nan")
    tracking.log_final_metrics("ablations_metrics", {"all": {"error": 5.0}})
    tracking.end_run(tracking.run_id(), "FINISHED")


def check_the_run(folder: Path) -> None:
    """What `a_run` logged is at the server once, and nothing of it on disk."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    found = runs(folder)
    assert len(found) == 2
    parent, child = found["ablations"], found["all seed 0"]
    assert child.data.tags[delivery.PARENT] == parent.info.run_id
    assert (parent.info.status, child.info.status) == ("FINISHED", "FAILED")
    assert child.data.tags["error"] == "FloatingPointError: nan"
    assert parent.data.params == {"pretrain.lr": "0.1"}
    assert parent.data.metrics["final.ablations.all.error"] == 5.0
    history = client.get_metric_history(child.info.run_id, "pretrain.loss.total")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    place = folder / "downloads"
    place.mkdir(exist_ok=True)
    copy = client.download_artifacts(child.info.run_id, "table.csv", str(place))
    assert Path(copy).read_text() == "kept as it was"
    copy = client.download_artifacts(child.info.run_id, "environment.txt", str(place))
    assert Path(copy).read_text() == "torch==2"
    assert left_on_disk(folder) == []


def runs(folder: Path) -> dict[str, Run]:
    """By their names, which are all different."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    everywhere = [e.experiment_id for e in client.search_experiments()]
    found = client.search_runs(everywhere)
    named = {run.info.run_name: run for run in found}
    assert len(named) == len(found), "a run was made twice"
    return named


def left_on_disk(folder: Path) -> list[str]:
    """But for the mark that the server was away."""
    return sorted(p.name for p in (folder / "spool").rglob("*") if p.name != "away")


def upload(folder: Path, *options: str) -> str:
    """Send to a database of the folder's own."""
    uri = f"sqlite:///{folder}/mlflow.db"
    arguments = ["--spool", str(folder / "spool"), "--uri", uri, *options]
    result = CliRunner().invoke(upload_records, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_records_wait_on_disk_and_are_sent_later(away, caplog):
    a_run(away)
    messages = [r.getMessage() for r in caplog.records]
    assert len([m for m in messages if "cannot be reached" in m and "upload-records" in m]) == 1
    assert f"records in {away / 'spool'} of 2 run(s) are not sent" in messages[-1]
    assert upload(away).count("sent as") == 2
    check_the_run(away)
    assert upload(away) == f"nothing waits in {away / 'spool'}\n"
    assert len(runs(away)) == 2


def test_records_are_sent_at_once_where_the_server_is_there(away, server):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    tracking.log_metrics({"loss": 3.0}, step=1)
    found = runs(away)["pretrain"]
    assert found.data.metrics == {"loss": 3.0}
    assert found.data.tags[delivery.OWN] == run
    assert left_on_disk(away) == []


def test_a_run_leaves_nothing_behind(away, server, caplog):
    a_run(away)
    check_the_run(away)
    assert not [r for r in caplog.records if r.name == tracking.__name__]


def test_an_upload_that_breaks_off_makes_no_run_twice(away, monkeypatch):
    a_run(away)
    perform, calls = Deliverer._perform, []

    def breaks_off(self, run, event):
        calls.append(event)
        if len(calls) == 6:
            raise ConnectionError("gone again")
        perform(self, run, event)

    monkeypatch.setattr(Deliverer, "_perform", breaks_off)
    arguments = ["--spool", str(away / "spool"), "--uri", f"sqlite:///{away}/mlflow.db"]
    broken = CliRunner().invoke(upload_records, arguments)
    assert broken.exit_code == 1
    assert "nothing is lost" in broken.output
    upload(away)
    check_the_run(away)


@pytest.mark.parametrize("after", range(9))
def test_a_delivery_killed_after_any_record_loses_and_doubles_nothing(away, monkeypatch, after):
    """Killed when the server has a record and the spool does not know it yet."""
    a_run(away)
    perform, calls = Deliverer._perform, []

    def is_killed(self, run, event):
        perform(self, run, event)
        calls.append(event)
        if len(calls) == after + 1:
            raise KeyboardInterrupt

    deliverer = Deliverer(Spool(away / "spool"), f"sqlite:///{away}/mlflow.db")
    with monkeypatch.context() as patch:
        patch.setattr(Deliverer, "_perform", is_killed)
        with pytest.raises(KeyboardInterrupt):
            list(delivery.upload(deliverer, unfinished=True))
    upload(away)
    check_the_run(away)


def test_a_run_without_an_end_is_sent_only_when_asked(away):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    assert f"{run}: has no end: still running, or killed (then use --unfinished)\n" in upload(away)
    assert "sent as" in upload(away, "--unfinished")
    assert runs(away)["pretrain"].info.status == "KILLED"


def test_a_finished_member_of_a_sweep_that_goes_on_stays_finished(away, server, monkeypatch):
    tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    tracking.end_run(tracking.run_id(), "KILLED")
    monkeypatch.setenv(tracking.URI, NOWHERE)  # the sweep is started again, and the server is away
    parent = tracking.start_run("ablations again", "hand_pipeline", None, {})
    tracking.adopt(child)
    assert f"{parent}: has no end" in upload(away)  # while the sweep goes on
    tracking.end_run(parent, "FINISHED")
    assert upload(away).count("sent as") == 1
    found = runs(away)
    member, above = found["all seed 0"], found["ablations again"]
    assert (above.info.status, member.info.status) == ("FINISHED", "FINISHED")
    assert member.data.tags[delivery.PARENT] == above.info.run_id


def test_a_finished_member_waits_for_its_killed_sweep(away):
    tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    assert f"{child}: refers to a run that is not sent yet\n" in upload(away)
    parent = tracking.start_run("ablations again", "hand_pipeline", None, {})
    tracking.adopt(child)
    tracking.end_run(parent, "FINISHED")
    assert f"{parent}: refers to a run that is not sent yet\n" in upload(away)
    assert upload(away, "--unfinished").count("sent as") == 3
    found = runs(away)
    status = {name: run.info.status for name, run in found.items()}
    assert status == {
        "ablations": "KILLED", "all seed 0": "FINISHED", "ablations again": "FINISHED"
    }  # fmt: skip
    above = found["all seed 0"].data.tags[delivery.PARENT]
    assert above == found["ablations again"].info.run_id


def test_what_follows_an_upload_goes_to_the_run_at_the_server(away, monkeypatch):
    parent = tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    upload(away, "--unfinished")
    monkeypatch.setenv(tracking.URI, f"sqlite:///{away}/mlflow.db")
    (away / "spool/away").unlink()  # the server is looked for again
    monkeypatch.setenv(tracking.RUN, parent)
    tracking.log_metrics({"loss": 1.0})
    tracking.adopt(child)
    tracking.start_child("all seed 1")
    assert left_on_disk(away) == []
    found = runs(away)
    assert found["ablations"].data.metrics == {"loss": 1.0}
    for name in ("all seed 0", "all seed 1"):
        assert found[name].data.tags[delivery.PARENT] == found["ablations"].info.run_id


def test_a_server_that_goes_away_and_comes_back_gets_all_in_order(away, server, monkeypatch):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    tracking.log_metrics({"loss": 3.0}, step=1)
    monkeypatch.setenv(tracking.URI, NOWHERE)
    tracking.log_metrics({"loss": 2.0}, step=2)
    monkeypatch.setenv(tracking.URI, server)
    tracking.log_metrics({"loss": 1.0}, step=3)  # too soon to look for the server again
    client = MlflowClient(server)
    place = runs(away)["pretrain"].info.run_id
    assert len(client.get_metric_history(place, "loss")) == 1
    os.utime(away / "spool/away", (0, 0))  # the time is over
    tracking.log_metrics({"loss": 0.5}, step=4)
    history = client.get_metric_history(place, "loss")
    assert [(m.step, m.value) for m in history] == [(1, 3.0), (2, 2.0), (3, 1.0), (4, 0.5)]
    tracking.end_run(run, "FINISHED")
    assert client.get_run(place).info.status == "FINISHED"
    assert left_on_disk(away) == []


def test_the_end_of_a_run_sends_what_its_members_could_not(away, monkeypatch):
    parent = tracking.start_run("ablations", "hand_pipeline", None, {})
    tracking.end_run(tracking.start_child("all seed 0"), "FINISHED")
    monkeypatch.setenv(tracking.URI, f"sqlite:///{away}/mlflow.db")  # it is back, just now
    tracking.end_run(parent, "FINISHED")
    assert {run.info.status for run in runs(away).values()} == {"FINISHED"}
    assert left_on_disk(away) == []


def test_the_server_is_not_looked_for_at_every_record(away, monkeypatch):
    looked = []
    monkeypatch.setattr(Deliverer, "deliver", lambda self, run: looked.append(run) or fail())
    tracking.start_run("pretrain", "hand_pipeline", None, {})
    for step in range(5):
        tracking.log_metrics({"loss": 1.0}, step)
    assert len(looked) == 1


def fail() -> None:
    raise ConnectionError("away")


def log_many(writer: int) -> None:
    for step in range(30):
        tracking.log_metrics({f"writer_{writer}": float(step)}, step)


def test_processes_that_log_to_one_run_lose_and_double_nothing(away, server):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=log_many, args=(n,)) for n in range(2)]
    for writer in writers:
        writer.start()
    log_many(2)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    tracking.end_run(run, "FINISHED")
    client = MlflowClient(server)
    place = runs(away)["pretrain"].info.run_id
    for writer in range(3):
        history = client.get_metric_history(place, f"writer_{writer}")
        assert [m.step for m in history] == list(range(30))
    assert left_on_disk(away) == []


def log_for_ever(name: str) -> None:
    tracking.start_run("pretrain", "hand_pipeline", None, {"kedro.pipeline": name, **process()})
    log = tracking.RecordLogger("pretrain", seconds=0.05)
    for step in range(1, 1_000_000):
        log(Record(step, 1.0, {}))
        Path("step.txt").write_text(str(step))


def process() -> dict[str, str]:
    """The tag that tells whether the run's process still lives."""
    return {"process": f"{os.uname().nodename}:{os.getpid()}"}


def test_a_killed_process_loses_no_record_it_has_made(away, server):
    writer = multiprocessing.get_context("spawn").Process(target=log_for_ever, args=("pretrain",))
    writer.start()
    told = away / "step.txt"
    while not (told.exists() and int(told.read_text() or 0) > 40):
        assert writer.is_alive()
        time.sleep(0.01)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    last = int(told.read_text() or 0)
    run = tracking.start_run("again", "hand_pipeline", None, process())
    tracking.close_killed_runs("pretrain")  # as the next start of a pipeline does
    tracking.end_run(run, "FINISHED")
    killed = runs(away)["pretrain"]
    assert killed.info.status == "KILLED"
    history = MlflowClient(server).get_metric_history(killed.info.run_id, "pretrain.loss.total")
    steps = Counter(m.step for m in history)
    assert set(steps) >= set(range(1, last + 1))
    assert set(steps.values()) == {1}
    assert left_on_disk(away) == []


def test_a_line_that_a_killed_process_cut_short_harms_no_other(away):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    with (away / f"spool/{run}.jsonl").open("a") as file:
        file.write('{"do": "metrics", "rows": [["lo')
    tracking.end_run(run, "FAILED", "its process ended by signal 9")
    assert "sent as" in upload(away)
    found = runs(away)["pretrain"]
    assert (found.info.status, found.data.metrics) == ("FAILED", {})


def test_no_password_is_recorded(away, server):
    address = "postgresql+psycopg://me:se:cret@host:5432/optuna"
    run = tracking.start_run("tuning", "hand_pipeline", None, {"kedro.runtime_params": address})
    tracking.log_params({"tuning": {"storage": address, "source": "https://host/a:b@c"}})
    tracking.end_run(run, "FAILED", f"OperationalError: {address}")
    found = runs(away)["tuning"].data
    hidden = "postgresql+psycopg://me:***@host:5432/optuna"
    assert found.params == {"tuning.storage": hidden, "tuning.source": "https://host/a:b@c"}
    assert found.tags["kedro.runtime_params"] == hidden
    assert found.tags["error"] == f"OperationalError: {hidden}"


def test_a_request_that_the_server_refuses_is_an_error(away, server):
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    tracking.log_params({"lr": 0.1})
    with pytest.raises(Exception, match="lr"):
        tracking.log_params({"lr": 0.2})  # write-once
    tracking.end_run(run, "FAILED")  # and is no obstacle to what follows
    assert runs(away)["pretrain"].info.status == "FAILED"
    assert left_on_disk(away) == []


def test_a_run_of_before_is_known_by_the_servers_own_id(away, server):
    """Records of sweeps that were run before runs had ids of the project's own."""
    client = MlflowClient(server)
    old = client.create_run(client.create_experiment("hand_pipeline")).info.run_id
    tracking.start_run("ablations", "hand_pipeline", None, {})
    tracking.adopt(old)
    above = client.get_run(old).data.tags[delivery.PARENT]
    assert above == runs(away)["ablations"].info.run_id
