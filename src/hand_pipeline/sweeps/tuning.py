"""Let Optuna choose parameters: each trial is a run of a chain of pipelines, as in a sweep."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, Trial, TrialState

from hand_pipeline import tracking
from hand_pipeline.config import MachineConfig
from hand_pipeline.provenance import code_hash
from hand_pipeline.sweeps import pruning
from hand_pipeline.sweeps.declaration import ParameterRange, SweepError, TuningConfig, as_list
from hand_pipeline.sweeps.plan import Run, make_plan
from hand_pipeline.sweeps.project import Project
from hand_pipeline.sweeps.run import plan_on_ground, run_plan
from hand_pipeline.sweeps.study import AGAIN, count_left, open_storage, open_study, retried

logger = logging.getLogger(__name__)
_COLUMN = "objective"


def tune(project: Project, cfg: TuningConfig, machine: MachineConfig) -> optuna.Study:
    """Run trials until all of the study have ended, in this and in other workers.

    Workers may start the last trial at the same moment, so N workers may run up to N - 1 extra
    trials.

    Raises:
        SweepError: the space, chain, database or stored study is invalid, or no trial succeeded.
    """
    question = check_space(project, cfg)
    url = cfg.storage or f"sqlite:///{project.sweeps / 'studies.db'}"
    project.sweeps.mkdir(parents=True, exist_ok=True)
    storage = open_storage(url, cfg)
    study = open_study(storage, cfg, question)
    logger.info("study %s in %s", cfg.study, storage.engine.url.render_as_string())
    objective, watched = _objective(project, cfg, machine, url), _check_watched(cfg)
    while (counts := count_left(study, cfg))[0] > 0:
        if counts[1] < counts[0]:
            study.optimize(objective, n_trials=1, catch=(SweepError,), callbacks=[watched])
        else:
            time.sleep(min(1.0, cfg.heartbeat))  # if another worker dies, its trial is retried here
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        reasons = {str(t.user_attrs.get("reason", "its worker died")) for t in study.get_trials()}
        raise SweepError("no trial succeeded: " + "; ".join(sorted(reasons)))
    return study


def check_space(project: Project, cfg: TuningConfig) -> dict[str, Any]:
    """Plan a run at both ends of every range, to find unknown paths and invalid values.

    Returns:
        The study's settings, to compare with a stored study: space, objective, fixed parameters,
        hashes of data and code.

    Raises:
        SweepError: lists all errors.
    """
    ends = {path: _ends(one) for path, one in cfg.space.items()}
    first = {path: values[0] for path, values in ends.items()}
    runs = [_run(cfg, path, first | {path: v}) for path in ends for v in ends[path]]
    plan = plan_on_ground(f"study {cfg.study}", project, lambda: make_plan(project, runs))
    units = [plan.units[key] for key in plan.runs[0].units]
    fixed = {name: value for unit in units for name, value in unit.plain_parameters().items()}
    for path in cfg.space:
        _remove(fixed, path)
    return {
        "space": {path: one.model_dump(mode="json") for path, one in cfg.space.items()},
        "objective": f"{cfg.direction} {cfg.objective}",
        "parameters": fixed,
        "data": plan.inputs,
        "code": {n.name: code_hash(n.func.__module__) for unit in units for n in unit.nodes},
    }


def _ends(one: ParameterRange) -> list[Any]:
    if one.choices is not None:
        return list(one.choices)
    kind = int if one.kind == "int" else float
    return [kind(v) for v in (one.low, one.high) if v is not None]


def _remove(parameters: dict[str, Any], path: str) -> None:
    """Remove a tuned parameter from the fixed ones."""
    for name in [n for n in parameters if path == n or path.startswith(f"{n}.")]:
        place: Any = parameters
        *parents, last = [name, *path.removeprefix(name).removeprefix(".").split(".")]
        for part in parents:
            place = place[part] if isinstance(place, Mapping) else {}
        if isinstance(place, dict):
            place.pop(last, None)


def _run(cfg: TuningConfig, name: str, values: Mapping[str, Any]) -> Run:
    return Run(name, 0, cfg.chain, cfg.fixed | dict(values), {_COLUMN: cfg.objective})


def suggest(trial: Trial, cfg: TuningConfig) -> dict[str, Any]:
    """Values for a trial; parameters whose condition does not hold keep their defaults."""
    values: dict[str, Any] = {}
    for path, one in cfg.ordered():
        if any(values.get(other) not in as_list(wanted) for other, wanted in one.when.items()):
            continue
        if one.choices is not None:
            values[path] = trial.suggest_categorical(path, one.choices)
        elif one.kind == "int":
            low, high = int(one.low or 0), int(one.high or 0)
            values[path] = trial.suggest_int(path, low, high, step=int(one.step or 1), log=one.log)
        else:
            low_, high_ = float(one.low or 0), float(one.high or 0)
            values[path] = trial.suggest_float(path, low_, high_, step=one.step, log=one.log)
    return values


def _objective(
    project: Project, cfg: TuningConfig, machine: MachineConfig, url: str
) -> Callable[[Trial], float]:
    """The function Optuna optimises: runs one trial; a `SweepError` fails the trial."""

    def objective(trial: Trial) -> float:
        values = suggest(trial, cfg)
        try:
            plan = make_plan(project, [_run(cfg, f"trial_{trial.number}", values)])
            environment = _environment(cfg, trial, url)
            folder = project.sweeps / cfg.study
            (record,) = run_plan(cfg.study, plan, folder, machine, environment).values()
        except SweepError as error:  # a combination of values that is invalid
            trial.set_user_attr("reason", str(error))
            raise
        except BaseException:  # interrupted, not failed: queue it again
            trial.study.enqueue_trial(trial.params, user_attrs={AGAIN: trial.number})
            raise
        # from the database: the process that trained has written there
        stopped = trial.study.trials[trial.number].user_attrs.get(pruning.PRUNED, {})
        pruned = stopped.get("trial") == trial.number
        with tracking.logging_to(record.mlflow_run):
            state = "pruned" if pruned else record.status
            tracking.log_tags({"study": cfg.study, "trial": trial.number, "state": state})
        trial.set_user_attr("mlflow_run", record.mlflow_run)
        if record.status == "finished":
            return record.metrics[_COLUMN]
        if pruned:
            raise optuna.TrialPruned(record.reason)
        trial.set_user_attr("reason", record.reason)
        raise SweepError(record.reason)

    return objective


def _environment(cfg: TuningConfig, trial: Trial, url: str) -> dict[str, str]:
    """Environment variables with which a training process reports to the trial."""
    if cfg.pruning is None:
        return {}
    spec = {
        "storage": url, "study": cfg.study, "id": trial._trial_id, "record": cfg.pruning.record,
        "sign": 1.0 if cfg.pruning.direction == cfg.direction else -1.0,
        "startup_trials": cfg.pruning.startup_trials, "warmup_steps": cfg.pruning.warmup_steps,
    }  # fmt: skip
    return {pruning.TRIAL: json.dumps(spec), tracking.WATCHER: "hand_pipeline.sweeps.pruning:watch"}


def _check_watched(cfg: TuningConfig) -> Callable[[optuna.Study, FrozenTrial], None]:
    """Callback that fails after the first trial if no training records the watched value."""

    def check(_: optuna.Study, trial: FrozenTrial) -> None:
        seen = trial.user_attrs.get(pruning.SEEN)
        if cfg.pruning is not None and seen and not trial.intermediate_values:
            raise SweepError(
                f"pruning watches {cfg.pruning.record!r}, which no training records; there are "
                f"{', '.join(seen)}"
            )

    return check


def best_run(project: Project, cfg: TuningConfig, study: optuna.Study) -> dict[str, Any]:
    """The best trial as content of a file for `kedro run --config FILE`."""
    parameters: dict[str, Any] = {}
    for path, value in (cfg.fixed | study.best_params).items():
        place = parameters
        *parents, last = path.split(".")
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return {"run": {"env": project.env, "pipelines": ",".join(cfg.chain), "params": parameters}}


def trials_table(study: optuna.Study) -> pd.DataFrame:
    """One row per trial, in the order they were queued."""
    return pd.DataFrame(
        [
            {
                "trial": t.number,
                "state": t.state.name.lower(),
                "objective": t.value if t.state == TrialState.COMPLETE else None,
                "seconds": t.duration.total_seconds() if t.duration else None,
                "retry of": retried(t),
                **t.params,
                "reason": t.user_attrs.get("reason", ""),
            }
            for t in study.get_trials(deepcopy=False)
        ]
    )


def importances(study: optuna.Study) -> dict[str, float]:
    """Share of the objective's variance that each parameter explains (fANOVA).

    Empty if it cannot be estimated: fewer than four trials, or all objectives equal.
    """
    values = [t.value for t in study.get_trials(states=(TrialState.COMPLETE,))]
    if len(values) < 4 or len(set(values)) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def metrics(study: optuna.Study) -> dict[str, Any]:
    """The best trial, and the number of trials by state."""
    states = [t.state.name.lower() for t in study.get_trials(deepcopy=False)]
    best = study.best_trial
    return {
        "best": best.value,
        "best_trial": best.number,
        "trials": {state: states.count(state) for state in sorted(set(states))},
        "best_parameters": best.params,
    }
