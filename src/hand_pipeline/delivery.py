"""Events to MLflow: as they happen, or later from the spool."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hand_pipeline.spool import OFFLINE, Event, Spool

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


class Sent(NamedTuple):
    """What became of a run's waiting records.

    Attributes:
        run: as the spool names it.
        place: its id at the server; empty where it was left alone.
        why: why it was.
    """

    run: str
    place: str
    why: str = ""


def upload(client: "MlflowClient", spool: Spool, unfinished: bool) -> Iterator[Sent]:
    """Send what waits in the spool, run by run; interrupted, it can be called again.

    Args:
        unfinished: also runs that nobody has ended (killed, or still going on); they are closed.
    """
    known = spool.uploaded()
    for run in spool.runs():
        events = list(spool.events(run))
        place = known.get(run, run)
        # a run that the server has may have ended there before these records were kept
        ended = any(event["do"] == "end" for event in events) or (
            not place.startswith(OFFLINE) and client.get_run(place).info.status != "RUNNING"
        )
        if not (unfinished or ended):
            yield Sent(run, "", "has no end: running, or killed (--unfinished)")
            continue
        if runs_named_in(events) - {run} - known.keys():
            yield Sent(run, "", "belongs to a run that is not sent yet")
            continue
        if events[0]["do"] == "create" and run not in known:
            place = known[run] = create(client, _renamed(events[0], known))
            spool.remember(known)
        for event in events:
            if event["do"] != "create":
                perform(client, place, _renamed(event, known))
        if not ended:
            client.set_terminated(place, "KILLED")
        spool.forget(run)
        yield Sent(run, place)


def runs_named_in(events: list[Event]) -> set[str]:
    """Runs that these events refer to and that the server does not know by these names."""
    named = {event.get("parent", "") for event in events}
    named.update(value for event in events for value in event.get("tags", {}).values())
    return {name for name in named if name.startswith(OFFLINE)}


def _renamed(event: Event, known: Mapping[str, str]) -> Event:
    """The event with the ids that the server gave in place of the spool's."""
    changed: dict[str, Any] = dict(event)
    if "parent" in event:
        changed["parent"] = known.get(event["parent"], event["parent"])
    if "tags" in event:
        changed["tags"] = {k: known.get(v, v) for k, v in event["tags"].items()}
    return changed
