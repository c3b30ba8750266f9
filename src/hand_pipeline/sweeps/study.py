"""An Optuna study of which every trial is queued, so that workers neither lose nor double one."""

import fcntl
import json
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from hand_pipeline import tracking
from hand_pipeline.sweeps.declaration import SweepError, TuningConfig

QUESTION = "question"
AGAIN = "again"
"""Attribute of a trial that stands in for an interrupted one: its number."""
_PATIENCE = 60.0  # seconds that another worker may take to fill the queue
_TRIES = 10  # at opening a database in which others make the tables at the same moment


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Optuna calls experimental what it has had for years: heartbeats, grouped parameters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


class PerTrialSampler(BaseSampler):
    """Draws by seed and number of the trial, so that workers side by side draw differently."""

    def __init__(self, kind: str, seed: int):
        self.kind, self.seed = kind, seed
        self.inner: BaseSampler = RandomSampler(seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Starts a trial: the sampler for it is made here."""
        seed = (self.seed * 1_000_003 + trial.number) % 2**32
        if self.kind == "tpe":
            with _no_warnings():
                self.inner = TPESampler(
                    seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=8
                )
        else:
            self.inner = RandomSampler(seed)
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values drawn together."""
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """One value drawn alone: conditional ones, and all of the first trials."""
        return self.inner.sample_independent(study, trial, param_name, param_distribution)


def open_storage(url: str, cfg: TuningConfig) -> RDBStorage:
    """The database, with a heartbeat by which dead workers are told from busy ones.

    Raises:
        SweepError: it cannot be reached.
    """
    with _no_warnings():
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


def pruner_of(cfg: TuningConfig) -> optuna.pruners.BasePruner:
    """Stops trials worse than the median of former ones at the same step, if it is asked to."""
    if cfg.pruning is None:
        return optuna.pruners.NopPruner()
    return optuna.pruners.MedianPruner(
        n_startup_trials=cfg.pruning.startup_trials, n_warmup_steps=cfg.pruning.warmup_steps
    )


def open_study(
    storage: RDBStorage, cfg: TuningConfig, question: Mapping[str, Any], lock: Path
) -> optuna.Study:
    """The study of that name, new or as it stands, with all its trials queued.

    Args:
        question: what the study asks: space, objective, fixed parameters, data.
        lock: file by which workers of one machine take turns here.

    Raises:
        SweepError: the stored study asks something else.
    """
    made: dict[str, Any] = {
        "study_name": cfg.study, "storage": storage, "pruner": pruner_of(cfg),
        "sampler": PerTrialSampler(cfg.sampler, cfg.seed),
    }  # fmt: skip
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        try:
            study = optuna.create_study(direction=cfg.direction, **made)
            study.set_user_attr(QUESTION, json.dumps(question, sort_keys=True, default=str))
        except optuna.exceptions.DuplicatedStudyError:
            study = optuna.load_study(**made)
            _wait_for(study, "queued")
            _check_question(study, json.loads(json.dumps(question, default=str)), cfg)
        for _ in range(cfg.trials - len(_originals(study))):
            study.enqueue_trial({})
        study.set_user_attr("queued", cfg.trials)
    return study


def _wait_for(study: optuna.Study, attribute: str) -> None:
    """A worker on another machine may be filling the queue; if it died, we do."""
    end = time.monotonic() + _PATIENCE
    while attribute not in study.user_attrs and time.monotonic() < end:
        time.sleep(0.2)


def _originals(study: optuna.Study) -> list[FrozenTrial]:
    return [t for t in study.get_trials(deepcopy=False) if retried(t) is None]


def retried(trial: FrozenTrial) -> int | None:
    """The trial that this one is run in place of: its worker died, or was interrupted."""
    number: int | None = trial.system_attrs.get("failed_trial", trial.user_attrs.get(AGAIN))
    return number


def _check_question(study: optuna.Study, question: dict[str, Any], cfg: TuningConfig) -> None:
    stored = json.loads(study.user_attrs.get(QUESTION, "{}"))
    if different := _differences(stored, question):
        raise SweepError(
            f"the study {cfg.study!r} was started with another question, and its trials cannot be "
            f"mixed with new ones: {'; '.join(different)}. Give `tuning.study` another name, or "
            "take the change back"
        )


def _differences(stored: Any, asked: Any, name: str = "") -> list[str]:
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        found = []
        for key in sorted(stored.keys() | asked.keys()):
            parts = stored.get(key), asked.get(key)
            found += _differences(*parts, f"{name} {key}".strip())
        return found
    return [] if stored == asked else [f"{name} was {stored}, is {asked}"]


def claim(study: optuna.Study, storage: RDBStorage) -> Trial | None:
    """The next queued trial, for this worker alone; None if there is none."""
    study_id = storage.get_study_id_from_name(study.study_name)
    for frozen in storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.WAITING,)):
        number = frozen.number
        try:
            mine = storage.set_trial_state_values(frozen._trial_id, state=TrialState.RUNNING)
        except optuna.exceptions.UpdateFinishedTrialError:
            continue
        if mine:
            storage.record_heartbeat(frozen._trial_id)
            trial = Trial(study, frozen._trial_id)
            assert trial.number == number
            return trial
    return None


def running(study: optuna.Study) -> bool:
    """Whether a trial is under way, here or elsewhere; those of dead workers are queued again."""
    with _no_warnings():
        optuna.storages.fail_stale_trials(study)
    return bool(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


@contextmanager
def heartbeat(storage: RDBStorage, trial: Trial, seconds: int) -> Iterator[None]:
    """Tell the database every few seconds that the trial's worker is alive."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(seconds):
            try:
                storage.record_heartbeat(trial._trial_id)
            except SQLAlchemyError:
                continue  # the database was away for a moment; the next beat tells it

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
