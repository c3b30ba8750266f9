"""MLflow, by explicit run id: nodes, ranks and worker processes all log to the run they belong to.

With `delivery`, the only module that imports mlflow. Without a run (a test, a plain call) every
function is a no-op. The run's id and the server's address travel in environment variables, which
child processes inherit; "the active run" of a process would silently lose their records.
"""

import functools
import importlib
import logging
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pipeline import delivery, spool
from hand_pipeline.config import Config

if TYPE_CHECKING:  # every `kedro run` imports this module: torch and Fabric take seconds
    from mlflow import MlflowClient

    from hand_pipeline.training.loop import Record

logger = logging.getLogger(__name__)

WATCHER = "HAND_PIPELINE_WATCHER"
"""Variable that names a `module:function` which sees every record too, and may end the training."""
RUN, URI = "HAND_PIPELINE_RUN_ID", "HAND_PIPELINE_TRACKING_URI"
PARENT = "mlflow.parentRunId"
_MAX_VALUE = 6000  # MLflow cuts longer parameters


def run_id() -> str | None:
    """The run to log to, if any."""
    return os.environ.get(RUN)


def client() -> "MlflowClient":
    """A client for the server of the current run."""
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    # MLflow would try for minutes; ours are kept on disk and lost to nobody.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    from mlflow import MlflowClient

    return MlflowClient(os.environ.get(URI))


def log_params(parameters: Mapping[str, Any], prefix: str = "") -> None:
    """Log nested parameters under dotted names (`pretrain.train.lr`)."""
    if (run := run_id()) is None:
        return
    flat = [
        [_name(n), without_password(str(value))[:_MAX_VALUE]]
        for n, value in _flatten(parameters, prefix)
    ]
    for start in range(0, len(flat), 100):
        _send(run, {"do": "params", "rows": flat[start : start + 100]})


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def without_password(text: str) -> str:
    """`text`, with `***` in place of the password of an address (`tuning.storage`)."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)


def _name(name: str) -> str:
    """A name that MLflow takes: it allows no other characters."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def log_metrics(metrics: Mapping[str, float], step: int = 0) -> None:
    """Log scalars of one step."""
    _log([(step, metrics)])


def log_tags(tags: Mapping[str, Any]) -> None:
    """Set tags."""
    if (run := run_id()) is not None:
        _send(run, {"do": "tags", "tags": {k: str(v)[:5000] for k, v in tags.items()}})


def log_artifact(path: Path | str, folder: str | None = None) -> None:
    """Upload a file, or everything in a folder."""
    if (run := run_id()) is not None:
        _send(run, {"do": "artifact", "path": str(path), "folder": folder})


def log_text(text: str, file_name: str) -> None:
    """Upload `text` as a file of the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name
        path.write_text(text)
        log_artifact(path)


class RecordLogger:
    """Logs the training loop's records, gathered so that the loop hardly waits.

    Picklable: it holds only a prefix and numbers.
    """

    def __init__(self, prefix: str, seconds: float = 5.0):
        self.prefix, self.seconds = prefix, seconds
        self._waiting: list[tuple[int, dict[str, float]]] = []
        self._last = 0.0

    def __call__(self, record: "Record") -> None:
        """Take a record; send what has gathered every few seconds."""
        scalars = {f"{self.prefix}.{name}": value for name, value in record.scalars().items()}
        self._waiting.append((record.step, scalars))
        if time.monotonic() - self._last > self.seconds:
            self.flush()
        if named := os.environ.get(WATCHER):
            module, _, function = named.partition(":")
            try:
                getattr(importlib.import_module(module), function)(scalars, record.step)
            except Exception:
                self.flush()
                raise

    def flush(self) -> None:
        """Send what is waiting."""
        _log(self._waiting)
        self._waiting, self._last = [], time.monotonic()


def _log(rows: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    if (run := run_id()) is None or not rows:
        return
    now = int(time.time() * 1000)
    metrics = [
        [_name(name), float(value), now, step]
        for step, values in rows
        for name, value in values.items()
    ]
    for start in range(0, len(metrics), 1000):
        _send(run, {"do": "metrics", "rows": metrics[start : start + 1000]})


def plain(parameters: Any) -> Any:
    """Typed parameters as plain values."""
    return parameters.model_dump(mode="json") if isinstance(parameters, Config) else parameters


def start_run(name: str, experiment: str, location: str | None, tags: Mapping[str, str]) -> str:
    """Open a run and make it the current one; where the server is away, one that is kept on disk.

    Args:
        experiment: its name; it is made where it is not there, with its artifacts at `location`.
    """
    event = {
        "do": "create", "experiment": experiment, "location": location, "time": _now(),
        "tags": {"mlflow.runName": name, **tags},
    }  # fmt: skip
    os.environ[RUN] = _create(event)
    return os.environ[RUN]


def start_child(name: str, tags: Mapping[str, Any] | None = None) -> str | None:
    """A run below the current one (a sweep's member, a trial); without a current run, none."""
    if (parent := run_id()) is None:
        return None
    parent = _name_now(parent)
    all_tags = {PARENT: parent, "mlflow.runName": name} | dict(tags or {})
    plain_tags = {k: str(v) for k, v in all_tags.items()}
    return _create({"do": "create", "parent": parent, "time": _now(), "tags": plain_tags})


def _name_now(run: str) -> str:
    kept = spool.Spool.current()
    return run if kept is None else kept.name_of(run)


def _create(event: spool.Event) -> str:
    kept = spool.Spool.current()
    if kept is None or not kept.holds(event.get("parent", "")):
        try:
            return delivery.create(client(), event)
        except Exception as error:
            if kept is None or not delivery.is_away(error):
                raise
            _say_away(error, kept)
    run = f"{spool.OFFLINE}{uuid.uuid4().hex}"
    kept.keep(run, event)
    return run


def _send(run: str, event: spool.Event) -> None:
    """Do it at the server, or keep it on disk while the server is away."""
    kept = spool.Spool.current()
    run = _name_now(run)
    if kept is None or not (kept.holds(run) or delivery.runs_named_in([event])):
        try:
            delivery.perform(client(), run, event)
            return
        except Exception as error:
            if kept is None or not delivery.is_away(error):
                raise
            _say_away(error, kept)
    kept.keep(run, event)


@functools.cache
def _warn_once(uri: str, folder: Path, reason: str) -> None:
    logger.warning(
        "MLflow at %s cannot be reached (%s). The run goes on; its records are kept in %s, and "
        "`python -m hand_pipeline upload-records` sends them when the server is back",
        uri, reason, folder,
    )  # fmt: skip


def _say_away(error: Exception, kept: spool.Spool) -> None:
    _warn_once(os.environ.get(URI, ""), kept.folder, type(error).__name__)


def _now() -> int:
    return int(time.time() * 1000)


def end_run(run: str | None, status: str, reason: str = "") -> None:
    """Close a run as FINISHED, FAILED or KILLED, with the reason as its tag `error`."""
    if run is None:
        return
    if reason:
        _send(run, {"do": "tags", "tags": {"error": reason[:5000]}})
    _send(run, {"do": "end", "status": status, "time": _now()})


def adopt(run: str | None) -> None:
    """Show a finished run below the current one: a sweep that goes on shows all its members."""
    if run is not None and (parent := run_id()) is not None:
        parent = _name_now(parent)
        # with its time, so that it is sent after a parent that waits on disk
        _send(run, {"do": "tags", "tags": {PARENT: parent}, "time": _now()})


def environment(run: str | None) -> dict[str, str]:
    """The variables with which another process logs to `run`."""
    if run is None:
        return {}
    kept = {spool.FOLDER: os.environ[spool.FOLDER]} if spool.FOLDER in os.environ else {}
    return {RUN: run, URI: os.environ[URI], **kept}


@contextmanager
def logging_to(run: str | None) -> Iterator[None]:
    """What is logged inside goes to `run`; without one, nowhere."""
    former = os.environ.pop(RUN, None)
    try:
        if run is not None:
            os.environ[RUN] = run
        yield
    finally:
        os.environ.pop(RUN, None)
        if former is not None:
            os.environ[RUN] = former


def log_final_metrics(dataset: str, metrics: Mapping[str, Any], name: str = "") -> None:
    """Log a stage's final figures under `final.`; `name` stands in for a plain `metrics`."""
    prefix = dataset.removesuffix("metrics").rstrip("_") or name
    log_metrics({f"final.{prefix}.{key}": value for key, value in _numbers(metrics)})


def _numbers(data: Mapping[str, Any], name: str = "") -> list[tuple[str, float]]:
    """Every number in nested metrics, under dotted names."""
    found = []
    for key, value in data.items():
        full = f"{name}.{key}" if name else str(key)
        if isinstance(value, Mapping):
            found += _numbers(value, full)
        elif isinstance(value, int | float):
            found.append((full, float(value)))
    return found
