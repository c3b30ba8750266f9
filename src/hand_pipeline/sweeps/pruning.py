"""Where a training's records meet Optuna: called in the process, or rank, that trains."""

import json
import os
from collections.abc import Mapping
from functools import cache

import optuna

TRIAL = "HAND_PIPELINE_TRIAL"
PRUNED, SEEN = "pruned", "records"


def watch(scalars: Mapping[str, float], step: int) -> None:
    """Report the watched record, and end the training where the trial is not worth going on.

    Raises:
        optuna.TrialPruned: the trial is stopped.
    """
    told = json.loads(os.environ[TRIAL])
    trial = _trial(os.environ[TRIAL])
    if told["record"] not in scalars:
        seen = trial.user_attrs.get(SEEN, [])
        if not set(scalars) <= set(seen):
            trial.set_user_attr(SEEN, sorted({*seen, *scalars}))
        return
    trial.report(float(scalars[told["record"]]) * told["sign"], step)
    if trial.should_prune():
        trial.set_user_attr(PRUNED, {"trial": trial.number, "step": step})
        raise optuna.TrialPruned(f"{told['record']} is worse than the median at step {step}")


@cache
def _trial(told: str) -> optuna.trial.Trial:
    """The trial this process works for, as the study's database has it."""
    spec = json.loads(told)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=spec["startup_trials"], n_warmup_steps=spec["warmup_steps"]
    )
    # A sampler that draws nothing: the worker has drawn this trial's values already.
    study = optuna.load_study(
        study_name=spec["study"], storage=spec["storage"], pruner=pruner,
        sampler=optuna.samplers.RandomSampler(0),
    )  # fmt: skip
    return optuna.trial.Trial(study, spec["id"])
