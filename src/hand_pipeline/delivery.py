"""Events to MLflow: as they happen, or later from the spool."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pipeline.files import atomic_write_text
from hand_pipeline.spool import Event, Spool

if TYPE_CHECKING:
    from mlflow import MlflowClient

_AWAY = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"}


def is_away(error: Exception) -> bool:
    """Whether the server cannot be reached or is out of order; a refused request is a fault."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    if isinstance(error, MlflowException):
        return error.error_code in _AWAY
    return isinstance(error, OSError | OperationalError)


def create(client: "MlflowClient", event: Event) -> str:
    """Open a run; its id."""
    if "parent" in event:
        experiment = client.get_run(event["parent"]).info.experiment_id
    elif (found := client.get_experiment_by_name(event["experiment"])) is not None:
        experiment = found.experiment_id
    else:
        experiment = client.create_experiment(event["experiment"], event["location"])
    run = client.create_run(experiment, start_time=event["time"], tags=event["tags"])
    run_id: str = run.info.run_id
    return run_id


def perform(client: "MlflowClient", run: str, event: Event) -> None:
    """Do what an event says to a run the server knows."""
    from mlflow.entities import Metric, Param, RunTag

    match event["do"]:
        case "params":
            client.log_batch(run, params=[Param(*row) for row in event["rows"]])
        case "metrics":
            client.log_batch(run, metrics=[Metric(*row) for row in event["rows"]])
        case "tags":
            client.log_batch(run, tags=[RunTag(*item) for item in event["tags"].items()])
        case "artifact":
            _upload(client, run, event)
        case "end":
            client.set_terminated(run, event["status"], event["time"])
        case other:
            raise ValueError(f"unknown kind of record {other!r}")


def _upload(client: "MlflowClient", run: str, event: Event) -> None:
    path = Path(event["path"])
    (client.log_artifacts if path.is_dir() else client.log_artifact)(
        run, str(path), event["folder"]
    )


def upload(client: "MlflowClient", spool: Spool, unfinished: bool) -> Iterator[tuple[str, str]]:
    """Send what waits in the spool, run by run; interrupted, it can be called again.

    Args:
        unfinished: also runs whose end is not recorded (killed, or still going on).

    Yields:
        Each run as the spool names it, and its id at the server; empty where it was left alone.
    """
    names = spool.folder / "uploaded.json"
    known: dict[str, str] = json.loads(names.read_text()) if names.exists() else {}
    for run in spool.runs():
        events = list(spool.events(run))
        if not (unfinished or any(event["do"] == "end" for event in events)):
            yield run, ""
            continue
        if events[0]["do"] == "create" and run not in known:
            known[run] = create(client, _renamed(events[0], known))
            atomic_write_text(names, json.dumps(known))  # never made twice
        place = known.get(run, run)
        for event in events:
            if event["do"] != "create":
                perform(client, place, _renamed(event, known))
        if not any(event["do"] == "end" for event in events):
            client.set_terminated(place, "KILLED")
        spool.forget(run)
        yield run, place


def _renamed(event: Event, known: Mapping[str, str]) -> Event:
    """The event with the ids that the server gave in place of the spool's."""
    changed: dict[str, Any] = dict(event)
    if "parent" in event:
        changed["parent"] = known.get(event["parent"], event["parent"])
    if "tags" in event:
        changed["tags"] = {k: known.get(v, v) for k, v in event["tags"].items()}
    return changed
