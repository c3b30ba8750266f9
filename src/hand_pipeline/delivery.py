"""Send records from the spool to MLflow. Sending is idempotent.

A process may be killed at any moment: what it has not removed from the spool is sent again. Each
run has the project's own id as a tag, so that it is never created twice.
"""

import itertools
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hand_pipeline.spool import Event, Spool

if TYPE_CHECKING:
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
OWN = "hand_pipeline.run"
"""Tag with the project's own id of a run."""
_AWAY = {
    "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "UNAUTHENTICATED",
    "PERMISSION_DENIED",
}  # fmt: skip


def is_away(error: Exception) -> bool:
    """Whether the server is unreachable, failing or denies access, so that a retry may help.

    Any other MLflow error means that the record itself is invalid.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import OperationalError

    if isinstance(error, MlflowException):
        return error.error_code in _AWAY
    return isinstance(error, OSError | OperationalError)


class Deliverer:
    """Sends the records of a spool to one server."""

    def __init__(self, spool: Spool, uri: str):
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        # MLflow would retry for minutes and warn each time; the records are safe on disk
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        self.spool, self.client = spool, MlflowClient(uri)
        self._places: dict[str, str] = {}

    def place(self, run: str) -> str:
        """MLflow's id of a run, or `run` itself if no run there has it as the tag `OWN`."""
        if run not in self._places:
            everywhere = [found.experiment_id for found in self.client.search_experiments()]
            runs = self.client.search_runs(everywhere, f"tags.`{OWN}` = '{run}'", max_results=1)
            self._places[run] = runs[0].info.run_id if runs else run
        return self._places[run]

    def deliver(self, run: str) -> None:
        """Send a run's waiting records, after those of the runs it refers to.

        Raises:
            Exception: the server is unreachable; the records stay in the spool.
            MlflowException: it rejected a record, which is dropped; all others are sent.
        """
        if not self.spool.file(run).exists():
            return
        from mlflow.exceptions import MlflowException

        refusal = None
        with self.spool.alone(run):
            for event in _gathered(self.spool.events(run)):
                try:
                    self._perform(run, event)
                except MlflowException as error:
                    if event["do"] == "create" or is_away(error):
                        raise
                    refusal = refusal or error
            self.spool.forget(run)
        if refusal is not None:
            raise refusal

    def deliver_below(self, run: str) -> None:
        """Send the waiting records of a run and of its child runs."""
        for each in self.spool.runs(run):
            self.deliver(each)

    def _perform(self, run: str, event: Event) -> None:
        from mlflow.entities import Metric, Param, RunTag

        if event["do"] == "create":
            self._create(run, event)
            return
        client, place = self.client, self.place(run)
        match event["do"]:
            case "params":
                client.log_batch(place, params=[Param(*row) for row in event["rows"]])
            case "metrics":
                client.log_batch(place, metrics=[Metric(*row) for row in event["rows"]])
            case "tags":
                client.log_batch(place, tags=[RunTag(*item) for item in event["tags"].items()])
            case "text":
                client.log_text(place, event["text"], event["file"])
            case "artifact":
                path = self.spool.folder / event["path"]
                log = client.log_artifacts if path.is_dir() else client.log_artifact
                log(place, str(path), event["folder"])
            case "adopt":
                self.deliver(event["child"])
                client.set_tag(self.place(event["child"]), PARENT, place)
            case "end":
                client.set_terminated(place, event["status"], event["time"])
            case other:
                raise ValueError(f"unknown kind of record {other!r}")

    def _create(self, run: str, event: Event) -> None:
        if self.place(run) != run:
            return  # created by a process that was killed before it cleared the spool
        tags = {**event["tags"], OWN: run}
        if "parent" in event:
            self.deliver(event["parent"])
            tags[PARENT] = self.place(event["parent"])
            experiment = self.client.get_run(tags[PARENT]).info.experiment_id
        elif (found := self.client.get_experiment_by_name(event["experiment"])) is not None:
            experiment = found.experiment_id
        else:
            experiment = self.client.create_experiment(event["experiment"], event["location"])
        created = self.client.create_run(experiment, start_time=event["time"], tags=tags)
        self._places[run] = created.info.run_id

    def close_killed(self, current: str, pipeline: str) -> None:
        """Close runs that are still RUNNING although their process on this host is gone."""
        experiment = self.client.get_run(self.place(current)).info.experiment_id

        def running(condition: str) -> "list[Run]":
            which = f"attributes.status = 'RUNNING' and {condition}"
            return list(self.client.search_runs([experiment], which))

        for run in running(f"tags.`kedro.pipeline` = '{pipeline}'"):
            host, _, pid = run.data.tags.get("process", "").rpartition(":")
            if host == socket.gethostname() and not Path(f"/proc/{pid}").exists():
                self.deliver_below(run.data.tags.get(OWN, run.info.run_id))
                for each in [run, *running(f"tags.`{PARENT}` = '{run.info.run_id}'")]:
                    self.client.set_terminated(each.info.run_id, "KILLED")


def _gathered(events: Iterable[Event]) -> Iterator[Event]:
    """The events, with consecutive metrics merged up to 1000, MLflow's limit per call."""
    for metrics, group in itertools.groupby(events, lambda event: event["do"] == "metrics"):
        if metrics:
            rows = [row for event in group for row in event["rows"]]
            for start in range(0, len(rows), 1000):
                yield {"do": "metrics", "rows": rows[start : start + 1000]}
        else:
            yield from group


def upload(deliverer: Deliverer, unfinished: bool) -> Iterator[str]:
    """Send all waiting records and yield one line per run; may be interrupted and repeated.

    Args:
        unfinished: also send runs without an end (killed or still running), and close them.
    """
    spool, client, left = deliverer.spool, deliverer.client, set()
    for run in spool.runs():
        if not (events := spool.events(run)):
            continue  # the run is active and has just sent them itself
        made = events[0]["do"] == "create"
        ended = any(event["do"] == "end" for event in events) or (
            not made and client.get_run(deliverer.place(run)).info.status != "RUNNING"
        )
        if not (unfinished or ended):
            left.add(run)
            yield f"{run}: has no end: still running, or killed (then use --unfinished)"
        elif left & {event.get(other) for event in events for other in ("parent", "child")}:
            left.add(run)
            yield f"{run}: refers to a run that is not sent yet"
        else:
            deliverer.deliver(run)
            place = deliverer.place(run)
            if not ended:
                client.set_terminated(place, "KILLED")
            yield f"{run}: sent as {place}"
