"""Logging to MLflow by explicit run id, from nodes, ranks and worker processes.

Without a run (a test, a plain call) every function is a no-op. The run's id, the server's address
and the spool's folder are environment variables, which child processes inherit; MLflow's "active
run" is per process and would lose their records. Every record goes into the spool first, and from
there to the server as soon as it is reachable.
"""

import functools
import importlib
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hand_pipeline import delivery
from hand_pipeline.config import Config
from hand_pipeline.delivery import Deliverer
from hand_pipeline.spool import FOLDER, Event, Spool

if TYPE_CHECKING:  # every `kedro run` imports this module: torch and Fabric take seconds
    from hand_pipeline.training.loop import Record

logger = logging.getLogger(__name__)

WATCHER = "HAND_PIPELINE_WATCHER"
"""Variable with a `module:function` that also gets every record and may stop the training."""
RUN, URI = "HAND_PIPELINE_RUN_ID", "HAND_PIPELINE_TRACKING_URI"
_MAX_VALUE = 6000  # MLflow cuts longer parameters
_REST = 30.0  # seconds before an unreachable server is tried again


def run_id() -> str | None:
    """The run to log to, if any."""
    return os.environ.get(RUN)


def log_params(parameters: Mapping[str, Any], prefix: str = "") -> None:
    """Log nested parameters under dotted names (`pretrain.train.lr`)."""
    if (run := run_id()) is None:
        return
    flat = [
        [_name(n), without_password(str(value))[:_MAX_VALUE]]
        for n, value in _flatten(parameters, prefix)
    ]
    starts = range(0, len(flat), 100)  # MLflow's limit per call
    _send(run, *({"do": "params", "rows": flat[start : start + 100]} for start in starts))


def _flatten(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flatten(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def without_password(text: str) -> str:
    """`text` with the password of a URL (`tuning.storage`) replaced by `***`."""
    return re.sub(r"(://[^:/@\s]*):[^@\s]+@", r"\1:***@", text)


def _name(name: str) -> str:
    """The name with characters that MLflow forbids replaced by `_`."""
    return re.sub(r"[^\w\-. :/]", "_", name)


def log_metrics(metrics: Mapping[str, int | float], step: int = 0) -> None:
    """Log scalars of one step."""
    if (run := run_id()) is not None:
        _send(run, _metrics(metrics, step))


def _metrics(metrics: Mapping[str, int | float], step: int) -> Event:
    now = _now()
    rows = [[_name(name), float(value), now, step] for name, value in metrics.items()]
    return {"do": "metrics", "rows": rows}


def log_tags(tags: Mapping[str, Any]) -> None:
    """Set tags."""
    if (run := run_id()) is not None:
        _send(run, {"do": "tags", "tags": _plain_tags(tags)})


def _plain_tags(tags: Mapping[str, Any]) -> dict[str, str]:
    return {name: without_password(str(value))[:5000] for name, value in tags.items()}


def log_artifact(path: Path | str, folder: str | None = None) -> None:
    """Upload a file, or everything in a folder, in its present state."""
    if (run := run_id()) is not None:
        _send(run, {"do": "artifact", "path": str(path), "folder": folder})


def log_text(text: str, file_name: str) -> None:
    """Upload `text` as a file of the run."""
    if (run := run_id()) is not None:
        _send(run, {"do": "text", "text": text, "file": file_name})


class RecordLogger:
    """Logs the training loop's records: written to disk at once, sent every few seconds.

    Picklable: it holds only a prefix and numbers.
    """

    def __init__(self, prefix: str, seconds: float = 5.0):
        self.prefix, self.seconds = prefix, seconds
        self._last = 0.0

    def __call__(self, record: "Record") -> None:
        """Take a record."""
        scalars = {f"{self.prefix}.{name}": value for name, value in record.scalars().items()}
        if (run := run_id()) is not None:
            _keep(run, _metrics(scalars, record.step))
        if time.monotonic() - self._last > self.seconds:
            self.flush()
        if named := os.environ.get(WATCHER):
            module, _, function = named.partition(":")
            getattr(importlib.import_module(module), function)(scalars, record.step)

    def flush(self) -> None:
        """Send the waiting records."""
        if (run := run_id()) is not None:
            _at_server(lambda server: server.deliver(run))
        self._last = time.monotonic()


def plain(parameters: Any) -> Any:
    """Typed parameters as plain values."""
    return parameters.model_dump(mode="json") if isinstance(parameters, Config) else parameters


def start_run(name: str, experiment: str, location: str | None, tags: Mapping[str, str]) -> str:
    """Open a run and make it the current one.

    Args:
        experiment: its name; created if missing, with its artifacts at `location`.
    """
    all_tags = _plain_tags({"mlflow.runName": name, **tags})
    run = os.environ[RUN] = uuid.uuid4().hex
    event = {"do": "create", "experiment": experiment, "location": location, "tags": all_tags}
    _keep(run, event)
    _at_server(lambda server: server.deliver(run), patient=False)
    return run


def start_child(name: str, tags: Mapping[str, Any] | None = None) -> str | None:
    """Start a child of the current run (a sweep's member, a trial); None without a current run."""
    if (parent := run_id()) is None:
        return None
    run = f"{parent}.{uuid.uuid4().hex[:12]}"
    all_tags = _plain_tags({"mlflow.runName": name, **(tags or {})})
    _send(run, {"do": "create", "parent": parent, "tags": all_tags})
    return run


def close_killed_runs(pipeline: str) -> None:
    """Close the runs of this pipeline whose processes were killed, if the server is reachable."""
    if (run := run_id()) is not None:
        _at_server(lambda server: server.close_killed(run, pipeline))


def end_run(run: str | None, status: str, reason: str = "") -> None:
    """Close a run as FINISHED, FAILED or KILLED, with the reason as its tag `error`.

    Sends its waiting records and those of its child runs, and warns about what cannot be sent.
    """
    if run is None:
        return
    error = [{"do": "tags", "tags": _plain_tags({"error": reason})}] if reason else []
    _keep(run, *error, {"do": "end", "status": status})
    last = "." not in run  # only a top-level run tries a server that has just been unreachable
    _at_server(lambda server: server.deliver_below(run), patient=not last)
    if last and (waiting := _spool().runs(run)):
        logger.warning(
            "records in %s of %d run(s) are not sent to MLflow yet. When the server is reachable, "
            "send them with `python -m hand_pipeline upload-records`",
            _spool().folder, len(waiting),
        )  # fmt: skip


def adopt(run: str | None) -> None:
    """Make a finished run a child of the current one, so that a resumed sweep shows all members."""
    if run is not None and (parent := run_id()) is not None:
        _send(parent, {"do": "adopt", "child": run})


def _send(run: str, *events: Event) -> None:
    """Write events to the spool, and send them unless the server was just unreachable."""
    _keep(run, *events)
    _at_server(lambda server: server.deliver(run))


def _keep(run: str, *events: Event) -> None:
    now = _now()
    _spool().add(run, *({**event, "time": now} for event in events))


def _now() -> int:
    return int(time.time() * 1000)


def _spool() -> Spool:
    return Spool(Path(os.environ[FOLDER]))


_deliverer = functools.cache(Deliverer)


def _at_server(act: Callable[[Deliverer], None], patient: bool = True) -> None:
    """Call `act`; if the server is unreachable, all processes pause before they try it again."""
    spool, uri = _spool(), os.environ[URI]
    if patient and spool.resting:
        return
    started = time.monotonic()
    try:
        act(_deliverer(spool, uri))
    except Exception as error:
        if not delivery.is_away(error):
            raise
        spool.rest(max(_REST, 20 * (time.monotonic() - started)))  # at most 5 % of the time is lost
        _warn_once(without_password(uri), spool.folder, type(error).__name__)


@functools.cache
def _warn_once(uri: str, folder: Path, reason: str) -> None:
    logger.warning(
        "MLflow at %s cannot be reached (%s). The run goes on; its records are kept in %s and sent "
        "when the server is back, by this run or by `python -m hand_pipeline upload-records`",
        uri, reason, folder,
    )  # fmt: skip


def environment(run: str | None) -> dict[str, str]:
    """Environment variables that make another process log to `run`."""
    if run is None:
        return {}
    return {RUN: run, URI: os.environ[URI], FOLDER: os.environ[FOLDER]}


@contextmanager
def logging_to(run: str | None) -> Iterator[None]:
    """Log to `run` within the block; None logs nothing."""
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
    """Log a stage's final metrics as `final.PREFIX`, from `dataset` (PREFIX_metrics) or `name`."""
    prefix = dataset.removesuffix("metrics").rstrip("_") or name
    log_metrics(
        {n: v for n, v in _flatten(metrics, f"final.{prefix}") if isinstance(v, int | float)}
    )
