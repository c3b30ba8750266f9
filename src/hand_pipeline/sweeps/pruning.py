"""Pruning: report a training's records to Optuna, in the process or rank that trains."""

import json
import os
from collections.abc import Mapping
from functools import cache

import optuna

TRIAL = "HAND_PIPELINE_TRIAL"
PRUNED, SEEN = "pruned", "records"


def watch(scalars: Mapping[str, float], step: int) -> None:
    """Report the watched value, and end the training if the trial is to be pruned.

    Raises:
        optuna.TrialPruned: the trial is stopped.
    """
    spec = json.loads(os.environ[TRIAL])
    trial = _trial(os.environ[TRIAL])
    if spec["record"] not in scalars:
        seen = trial.user_attrs.get(SEEN, [])
        if not set(scalars) <= set(seen):
            trial.set_user_attr(SEEN, sorted({*seen, *scalars}))
        return
    trial.report(float(scalars[spec["record"]]) * spec["sign"], step)
    if trial.should_prune():
        trial.set_user_attr(PRUNED, {"trial": trial.number, "step": step})
        raise optuna.TrialPruned(f"{spec['record']} is worse than the median at step {step}")


@cache
def _trial(text: str) -> optuna.trial.Trial:
    """The trial this process works for, from the study's database."""
    spec = json.loads(text)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=spec["startup_trials"], n_warmup_steps=spec["warmup_steps"]
    )
    # This sampler is never used: the worker has sampled this trial's values already.
    study = optuna.load_study(
        study_name=spec["study"], storage=spec["storage"], pruner=pruner,
        sampler=optuna.samplers.RandomSampler(0),
    )  # fmt: skip
    return optuna.trial.Trial(study, spec["id"])
