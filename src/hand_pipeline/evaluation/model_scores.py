"""Several models on the same hands: predicted one after the other, and scored side by side."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import pandas as pd

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.data.loader import BatchedSet
from hand_pipeline.evaluation.mean_hand import mean_hand_of
from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_hands
from hand_pipeline.evaluation.predict import ScoringConfig, load_predictions, predict_set
from hand_pipeline.training.method import Reconstructor

R = TypeVar("R", bound=Reconstructor)


class ModelScores(NamedTuple):
    """The outcome.

    Attributes:
        metrics: of each model (`HandEvaluation.summary`).
        table: a row a model, under its title.
        samples: every hand's errors by every model (column `model`).
        curves: `HandEvaluation.curves` by title.
    """

    metrics: dict[str, dict[str, float]]
    table: pd.DataFrame
    samples: pd.DataFrame
    curves: dict[str, pd.DataFrame]


def predict_models(
    models: Iterable[tuple[str, R]],
    open_hands: Callable[[R], BatchedSet[HandBatch]],
    folder: Path,
    cfg: ScoringConfig,
    machine: MachineConfig,
    training: Path | None = None,
) -> Path:
    """Write NAME.npz for each model: every hand of a set as it sees it.

    Args:
        models: by name, in eval mode. They are taken one by one, so a generator of them needs
            memory for one alone.
        open_hands: the set, with a model's hand model.
        folder: where the files go; what is in it is deleted first.
        cfg: hands at once.
        machine: device and loader processes.
        training: labelled hands, whose mean hand is written as `mean_hand`; None: it is not.

    Returns:
        The folder.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name, model in models:
        model.to(machine.device)
        hands = open_hands(model)
        only_hands = partial(model.predict, only_hands=True)
        predict_set(name, only_hands, hands, folder, cfg, machine)
    if training is not None:
        mean = mean_hand_of(open_labelled_hands(training, "training", model.mano))
        predict_set("mean_hand", mean.predict, hands, folder, cfg, machine)
    return folder


def score_models(titles: Mapping[str, str], cfg: ScoringConfig, *folders: Path) -> ModelScores:
    """Score what `predict_set` left.

    Args:
        titles: what tables call each model, by its file's name; in the order of the rows.
        cfg: how hands are aligned.
        folders: of the npz files.

    Raises:
        FileNotFoundError: a model has no file in any of them.
    """
    scores = {name: score_model(name, cfg, *folders) for name in titles}
    metrics = {name: found.summary for name, found in scores.items()}
    table = pd.DataFrame([{"model": titles[n], **summary} for n, summary in metrics.items()])
    samples = pd.concat([s.per_sample.assign(model=name) for name, s in scores.items()])
    return ModelScores(metrics, table, samples, {titles[n]: s.curves for n, s in scores.items()})


def score_model(name: str, cfg: ScoringConfig, *folders: Path) -> HandEvaluation:
    """Score one model; see `score_models`."""
    found = [path for folder in folders if (path := folder / f"{name}.npz").is_file()]
    if not found:
        raise FileNotFoundError(
            f"no {name}.npz in {', '.join(map(str, folders))}; run the node that predicts again"
        )
    hands = load_predictions(found[0])
    return evaluate_hands(
        hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
        allow_reflection=cfg.allow_reflection,
    )  # fmt: skip
