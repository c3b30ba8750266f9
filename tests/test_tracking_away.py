"""MLflow away: the run goes on, its records wait on disk, and are sent in their order."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from hand_pipeline import delivery, spool, tracking
from hand_pipeline.commands.upload_records import upload_records
from hand_pipeline.training.loop import Record

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv(tracking.URI, NOWHERE)
    monkeypatch.setenv(spool.FOLDER, str(tmp_path / "spool"))
    monkeypatch.setenv(tracking.RUN, "")
    tracking._warn_once.cache_clear()
    return tmp_path


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
    tracking.end_run(child, "FAILED", "FloatingPointError: nan")
    tracking.log_final_metrics("ablations_metrics", {"all": {"error": 5.0}})
    tracking.end_run(tracking.run_id(), "FINISHED")


def upload(folder: Path, *options: str) -> str:
    """Send to a database of the folder's own."""
    uri = f"sqlite:///{folder}/mlflow.db"
    arguments = ["--spool", str(folder / "spool"), "--uri", uri, *options]
    result = CliRunner().invoke(upload_records, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_records_wait_on_disk_and_are_sent_later(away, monkeypatch, caplog):
    monkeypatch.chdir(away)
    a_run(away)
    warnings = [r.getMessage() for r in caplog.records if "cannot be reached" in r.getMessage()]
    assert len(warnings) == 1
    assert "upload-records" in warnings[0]
    assert upload(away).count("sent as") == 2
    client = MlflowClient(f"sqlite:///{away}/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    runs = client.search_runs([experiment.experiment_id])
    by_name = {run.info.run_name: run for run in runs}
    parent, child = by_name["ablations"], by_name["all seed 0"]
    assert child.data.tags[tracking.PARENT] == parent.info.run_id
    assert (parent.info.status, child.info.status) == ("FINISHED", "FAILED")
    assert child.data.tags["error"] == "FloatingPointError: nan"
    assert parent.data.params == {"pretrain.lr": "0.1"}
    assert parent.data.metrics["final.ablations.all.error"] == 5.0
    history = client.get_metric_history(child.info.run_id, "pretrain.loss.total")
    assert [(m.step, m.value) for m in history] == [(1, 1.0), (2, 0.5), (3, 1 / 3)]
    copy = client.download_artifacts(child.info.run_id, "table.csv", str(away))
    assert Path(copy).read_text() == "kept as it was"
    assert upload(away) == f"nothing waits in {away / 'spool'}\n"
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_an_upload_that_breaks_off_makes_no_run_twice(away, monkeypatch):
    monkeypatch.chdir(away)
    a_run(away)
    perform, calls = delivery.perform, []

    def breaks_off(client, run, event):
        calls.append(event)
        if len(calls) == 4:
            raise ConnectionError("gone again")
        perform(client, run, event)

    monkeypatch.setattr(delivery, "perform", breaks_off)
    arguments = ["--spool", str(away / "spool"), "--uri", f"sqlite:///{away}/mlflow.db"]
    broken = CliRunner().invoke(upload_records, arguments)
    assert broken.exit_code == 1
    assert "nothing is lost" in broken.output
    upload(away)
    client = MlflowClient(f"sqlite:///{away}/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_a_run_without_an_end_is_sent_only_when_asked(away, monkeypatch):
    monkeypatch.chdir(away)
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    assert f"{run}: has no end: running, or killed (--unfinished)\n" in upload(away)
    assert "sent as" in upload(away, "--unfinished")
    client = MlflowClient(f"sqlite:///{away}/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "KILLED"


def test_a_finished_member_of_a_sweep_that_goes_on_stays_finished(away, monkeypatch):
    monkeypatch.chdir(away)
    uri = f"sqlite:///{away}/mlflow.db"
    monkeypatch.setenv(tracking.URI, uri)
    tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    monkeypatch.setenv(tracking.URI, NOWHERE)  # the sweep is started again, and the server is away
    parent = tracking.start_run("ablations", "hand_pipeline", None, {})
    tracking.adopt(child)
    said = upload(away)  # while the sweep goes on
    assert f"{child}: belongs to a run that is not sent yet\n" in said
    assert f"{parent}: has no end" in said
    tracking.end_run(parent, "FINISHED")
    monkeypatch.setenv(tracking.URI, uri)
    tracking.adopt(child)  # the server is back, but the parent still waits on disk
    assert upload(away).count("sent as") == 2
    client = MlflowClient(uri)
    found = client.get_run(child)
    assert found.info.status == "FINISHED"
    above = client.get_run(found.data.tags[tracking.PARENT])
    assert (above.info.run_name, above.info.status) == ("ablations", "FINISHED")
    assert parent.startswith(spool.OFFLINE)
    assert above.info.run_id != parent


def test_a_finished_member_waits_for_its_killed_sweep(away, monkeypatch):
    monkeypatch.chdir(away)
    tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    assert "sent as" not in upload(away)
    assert upload(away, "--unfinished").count("sent as") == 2
    client = MlflowClient(f"sqlite:///{away}/mlflow.db")
    experiment = client.get_experiment_by_name("hand_pipeline")
    runs = client.search_runs([experiment.experiment_id])
    status = {run.info.run_name: run.info.status for run in runs}
    assert status == {"ablations": "KILLED", "all seed 0": "FINISHED"}


def test_what_follows_an_upload_goes_to_the_run_at_the_server(away, monkeypatch):
    monkeypatch.chdir(away)
    uri = f"sqlite:///{away}/mlflow.db"
    parent = tracking.start_run("ablations", "hand_pipeline", None, {})
    child = tracking.start_child("all seed 0")
    tracking.end_run(child, "FINISHED")
    upload(away, "--unfinished")
    monkeypatch.setenv(tracking.URI, uri)
    monkeypatch.setenv(tracking.RUN, parent)  # still the name by which its processes know it
    tracking.log_metrics({"loss": 1.0})
    tracking.adopt(child)
    later = tracking.start_child("all seed 1")
    assert not list((away / "spool").glob("*.jsonl"))
    client = MlflowClient(uri)
    above = client.get_run(client.get_run(later).data.tags[tracking.PARENT])
    assert above.data.metrics == {"loss": 1.0}
    assert not above.info.run_id.startswith(spool.OFFLINE)


def test_a_server_that_goes_away_in_the_middle_loses_nothing(away, monkeypatch):
    monkeypatch.chdir(away)
    uri = f"sqlite:///{away}/mlflow.db"
    monkeypatch.setenv(tracking.URI, uri)
    run = tracking.start_run("pretrain", "hand_pipeline", None, {})
    tracking.log_metrics({"loss": 3.0}, step=1)
    monkeypatch.setenv(tracking.URI, NOWHERE)
    tracking.log_metrics({"loss": 2.0}, step=2)
    monkeypatch.setenv(tracking.URI, uri)
    tracking.log_metrics({"loss": 1.0}, step=3)  # waits behind the second
    tracking.end_run(run, "FINISHED")
    client = MlflowClient(uri)
    assert len(client.get_metric_history(run, "loss")) == 1
    assert f"{run}: sent as {run}\n" in upload(away)
    assert [m.value for m in client.get_metric_history(run, "loss")] == [3.0, 2.0, 1.0]
    assert client.get_run(run).info.status == "FINISHED"


def test_no_password_is_recorded(away, monkeypatch):
    uri = f"sqlite:///{away}/mlflow.db"
    monkeypatch.setenv(tracking.URI, uri)
    monkeypatch.chdir(away)
    run = tracking.start_run("tuning", "hand_pipeline", None, {})
    address = "postgresql+psycopg://me:se:cret@host:5432/optuna"
    tracking.log_params({"tuning": {"storage": address, "source": "https://host/a:b@c"}})
    assert MlflowClient(uri).get_run(run).data.params == {
        "tuning.storage": "postgresql+psycopg://me:***@host:5432/optuna",
        "tuning.source": "https://host/a:b@c",
    }


def test_a_request_that_the_server_refuses_is_an_error(away, monkeypatch):
    monkeypatch.chdir(away)
    monkeypatch.setenv(tracking.URI, f"sqlite:///{away}/mlflow.db")
    tracking.start_run("pretrain", "hand_pipeline", None, {})
    tracking.log_params({"lr": 0.1})
    with pytest.raises(Exception, match="lr"):
        tracking.log_params({"lr": 0.2})  # write-once
    assert not os.path.exists(away / "spool")
