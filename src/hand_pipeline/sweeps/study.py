"""An Optuna study in a database that several workers share."""

import json
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from hand_pipeline import tracking
from hand_pipeline.sweeps.declaration import SweepError, TuningConfig

QUESTION = "question"
AGAIN = "again"
"""Attribute of a trial that stands in for an interrupted one: its number."""
_TRIES = 10  # at opening a database in which others make the tables at the same moment


@contextmanager
def no_warnings() -> Iterator[None]:
    """Optuna calls experimental what it has had for years: heartbeats, grouped parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class PerTrialSampler(TPESampler):
    """Draws by seed and number of the trial, so that workers side by side draw differently, and a
    study that goes on does not draw its first trials again.

    Args:
        cfg: `sampler: random` is a TPE that never stops to draw at random.
    """

    def __init__(self, cfg: TuningConfig, number: int = 0):
        self.cfg = cfg
        with no_warnings():
            super().__init__(
                seed=(cfg.seed * 1_000_003 + number) % 2**32, multivariate=True, group=True,
                constant_liar=True, n_startup_trials=8 if cfg.sampler == "tpe" else cfg.trials,
            )  # fmt: skip

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Start anew for each trial."""
        PerTrialSampler.__init__(self, self.cfg, trial.number)
        super().before_trial(study, trial)


def open_storage(url: str, cfg: TuningConfig) -> RDBStorage:
    """The database, with a heartbeat by which dead workers are told from busy ones.

    Raises:
        SweepError: it cannot be reached.
    """
    with no_warnings():
        retry = RetryHeartbeatStaleTrialCallback(max_retry=cfg.retries)
        for left in reversed(range(_TRIES)):
            try:
                return RDBStorage(
                    url, heartbeat_interval=cfg.heartbeat, grace_period=3 * cfg.heartbeat,
                    heartbeat_stale_trial_callback=retry,
                )  # fmt: skip
            except (SQLAlchemyError, ImportError, ValueError) as error:
                if not (left and _is_race(error)):
                    raise SweepError(_closed(url, error)) from error
                time.sleep(0.5)
    raise AssertionError("the last try returns or raises")


def _is_race(error: Exception) -> bool:
    """Whether another worker has just made the tables: Optuna looks first and makes them then."""
    return isinstance(error, IntegrityError) or "already exists" in str(error)


def _closed(url: str, error: Exception) -> str:
    return (
        f"the study's database {tracking.without_password(url)} cannot be opened: "
        f"{str(error).splitlines()[0]}. Is the server up, the database made, and its driver "
        "installed (pip install 'hand-pipeline[postgres]')?"
    )


def open_study(storage: RDBStorage, cfg: TuningConfig, question: Mapping[str, Any]) -> optuna.Study:
    """The study of that name, new or as it stands.

    Args:
        question: what the study asks: space, objective, fixed parameters, data.

    Raises:
        SweepError: the stored study asks something else.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if cfg.pruning is not None:
        pruner = optuna.pruners.MedianPruner(cfg.pruning.startup_trials, cfg.pruning.warmup_steps)
    study = optuna.create_study(
        storage=storage, study_name=cfg.study, direction=cfg.direction, pruner=pruner,
        sampler=PerTrialSampler(cfg), load_if_exists=True,
    )  # fmt: skip
    asked = json.loads(json.dumps(question, sort_keys=True, default=str))
    if QUESTION not in study.user_attrs:
        study.set_user_attr(QUESTION, json.dumps(asked))
    elif different := _differences(json.loads(study.user_attrs[QUESTION]), asked):
        raise SweepError(
            f"the study {cfg.study!r} was started with another question, and its trials cannot be "
            f"mixed with new ones: {'; '.join(different)}. Give `tuning.study` another name, or "
            "take the change back"
        )
    return study


def _differences(stored: Any, asked: Any, name: str = "") -> list[str]:
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        found = []
        for key in sorted(stored.keys() | asked.keys()):
            parts = stored.get(key), asked.get(key)
            found += _differences(*parts, f"{name} {key}".strip())
        return found
    return [] if stored == asked else [f"{name} was {stored}, is {asked}"]


def retried(trial: FrozenTrial) -> int | None:
    """The trial that this one is run in place of: its worker died, or was interrupted."""
    number: int | None = trial.system_attrs.get("failed_trial", trial.user_attrs.get(AGAIN))
    return number


def count_left(study: optuna.Study, cfg: TuningConfig) -> tuple[int, int]:
    """Trials that have not ended, and how many of these are under way, here or elsewhere.

    A dead worker's trial is failed and queued again here, so it has not ended.
    """
    with no_warnings():
        optuna.storages.fail_stale_trials(study)
    trials = study.get_trials(deepcopy=False)
    again = {
        number for t in trials
        for number in (*t.system_attrs.get("retry_history", ()), t.user_attrs.get(AGAIN))
    }  # fmt: skip
    ended = [t for t in trials if t.state.is_finished() and t.number not in again]
    running = [t for t in trials if t.state == TrialState.RUNNING]
    return cfg.trials - len(ended), len(running)
