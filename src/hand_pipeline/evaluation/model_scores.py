"""Several models on the same hands: predicted to a folder, then scored side by side."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.predict import (
    Predict,
    load_predictions,
    predict_hands,
    save_predictions,
)


class ModelScores(NamedTuple):
    """The outcome.

    Attributes:
        metrics: figures by model (`HandEvaluation.summary`).
        table: a row a model, under its title.
        samples: every hand's errors by every model (column `model`).
        curves: `HandEvaluation.curves` by title.
    """

    metrics: dict[str, dict[str, float]]
    table: pd.DataFrame
    samples: pd.DataFrame
    curves: dict[str, pd.DataFrame]


def predict_set(
    name: str,
    predict: Predict,
    hands: HandImages,
    folder: Path,
    batch_size: int,
    device: torch.device | str = "cpu",
    num_workers: int = 0,
) -> None:
    """Write NAME.npz: every hand of a set as a model sees it, with the truth beside.

    Raises:
        ValueError: the set is empty, or a hand of it has no 3D labels.
    """
    batches = batches_in_order(hands, hands.collate, batch_size, num_workers)
    total = -(-len(hands) // batch_size)
    found = predict_hands(predict, batches, device, total, f"predict {name}")
    save_predictions(folder / f"{name}.npz", found)


def score_models(
    folder: Path, titles: Mapping[str, str], allow_reflection: bool = True
) -> ModelScores:
    """Score what `predict_set` left.

    Args:
        folder: of the npz files.
        titles: what tables call each model, by its file's name; in the order of the rows.
        allow_reflection: as of `evaluate_hands`.
    """
    scores = {}
    for name in titles:
        hands = load_predictions(folder / f"{name}.npz")
        scores[name] = evaluate_hands(
            hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids,
            allow_reflection=allow_reflection,
        )  # fmt: skip
    metrics = {name: found.summary for name, found in scores.items()}
    table = pd.DataFrame([{"model": titles[n], **summary} for n, summary in metrics.items()])
    samples = pd.concat([s.per_sample.assign(model=name) for name, s in scores.items()])
    return ModelScores(metrics, table, samples, {titles[n]: s.curves for n, s in scores.items()})
