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
"""Attribute of a trial that repeats an interrupted one: that one's number."""
_TRIES = 10  # to open a database whose tables another worker may be creating


@contextmanager
def no_warnings() -> Iterator[None]:
    """Hide Optuna's warnings that heartbeats and grouped parameters are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class PerTrialSampler(TPESampler):
    """TPE seeded by the study's seed and the trial's number, so that parallel workers sample
    differently and a continued study does not repeat its first trials.

    Args:
        cfg: `sampler: random` is a TPE whose random start-up phase never ends.
    """

    def __init__(self, cfg: TuningConfig, number: int = 0):
        self.cfg = cfg
        with no_warnings():
            super().__init__(
                seed=(cfg.seed * 1_000_003 + number) % 2**32, multivariate=True, group=True,
                constant_liar=True, n_startup_trials=8 if cfg.sampler == "tpe" else cfg.trials,
            )  # fmt: skip

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Reseed for each trial."""
        PerTrialSampler.__init__(self, self.cfg, trial.number)
        super().before_trial(study, trial)


def open_storage(url: str, cfg: TuningConfig) -> RDBStorage:
    """Open the database, with heartbeats that distinguish dead workers from busy ones.

    Raises:
        SweepError: it cannot be opened.
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
    """Whether another worker created the tables between Optuna's check and its own attempt."""
    return isinstance(error, IntegrityError) or "already exists" in str(error)


def _closed(url: str, error: Exception) -> str:
    return (
        f"the study's database {tracking.without_password(url)} cannot be opened: "
        f"{str(error).splitlines()[0]}. Check that the server runs, the database exists and its "
        "driver is installed (pip install 'hand-pipeline[postgres]')"
    )


def open_study(storage: RDBStorage, cfg: TuningConfig, question: Mapping[str, Any]) -> optuna.Study:
    """Create the study, or continue the stored one of that name.

    Args:
        question: settings that its trials share: space, objective, fixed parameters, data, code.

    Raises:
        SweepError: the stored study has other settings.
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
            f"the study {cfg.study!r} was started with other settings, and its trials cannot be "
            f"mixed with new ones: {'; '.join(different)}. Give `tuning.study` another name, or "
            "undo the change"
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
    """Number of the trial that this one repeats because its worker died or was interrupted."""
    number: int | None = trial.system_attrs.get("failed_trial", trial.user_attrs.get(AGAIN))
    return number


def count_left(study: optuna.Study, cfg: TuningConfig) -> tuple[int, int]:
    """Trials still to finish, and how many of them are running, in any worker.

    A dead worker's trial is failed and queued again here, so it is still to finish.
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
