"""Several models on the same hands: what `predict_set` wrote, scored side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from hand_pipeline.evaluation.metrics import HandEvaluation, evaluate_hands
from hand_pipeline.evaluation.predict import ScoringConfig, load_predictions


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
