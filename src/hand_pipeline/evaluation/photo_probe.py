"""Linear probes of frozen features on real photos: classes, and places of finger tips.

Held-out photos are always of other people or recordings than those learnt from: the groups are cut
into folds, each is held out once, and what is told is of held-out photos alone. How strongly a
probe is shrunk is chosen on one more fold of the groups it learns from, never on the held-out ones.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hand_pipeline.config import Config
from hand_pipeline.data.colour import imagenet_normalize
from hand_pipeline.data.photos.probe_photos import ProbePhotos
from hand_pipeline.models.vit import VitOutput


class PhotoProbeConfig(Config):
    """How photos are split and probes are fitted; all our choice."""

    folds: int = Field(5, ge=2, description="parts of the groups, each held out once")
    seed: int = Field(0, ge=0, description="of the split")
    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1, description="of the weights' squares, to try"
    )


class ClassScores(NamedTuple):
    """How well classes can be read off, 0 to 1.

    Attributes:
        accuracy: share of all photos told right, each held out once.
        balanced_accuracy: mean over classes of the share told right.
        fold_accuracies: share of each fold.
        confusion: photos by true class (row) and told class (column).
    """

    accuracy: float
    balanced_accuracy: float
    fold_accuracies: Float[np.ndarray, " folds"]
    confusion: Int[np.ndarray, "classes classes"]


class PointScores(NamedTuple):
    """How well points can be read off.

    Attributes:
        errors: mean distance of each point, share of the crop's side.
        fold_errors: the same of each fold, mean over points.
        mean_errors: of a probe that always tells the mean place.
        predicted: every photo's, when it was held out.
    """

    errors: Float[np.ndarray, " points"]
    fold_errors: Float[np.ndarray, " folds"]
    mean_errors: Float[np.ndarray, " points"]
    predicted: Float[np.ndarray, "photos points 2"]


def encode_photos(
    encoder: Callable[[Tensor], VitOutput],
    photos: ProbePhotos,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> Float[np.ndarray, "photos features"]:
    """Features of every photo: class token (or a ResNet's mean) of a network in eval mode."""
    rows = []
    with torch.inference_mode():
        for crops in DataLoader(photos, batch_size):
            rows.append(encoder(imagenet_normalize(crops.to(device).float() / 255)).cls.cpu())
    return torch.cat(rows).float().numpy()


def group_folds(
    groups: Sequence[str], labels: Int[np.ndarray, " photos"], folds: int, seed: int = 0
) -> Int[np.ndarray, " photos"]:
    """Fold of each photo: no group in two, and classes shared out as evenly as groups allow.

    The most lopsided groups are placed first, each where it makes the classes' shares most alike
    over the folds; the seed decides among groups that are alike.

    Raises:
        ValueError: fewer groups than folds.
    """
    names = sorted(set(groups))
    if len(names) < folds:
        raise ValueError(f"{len(names)} groups cannot be split into {folds} folds; take fewer")
    classes, column = np.unique(labels, return_inverse=True)
    row = np.searchsorted(names, list(groups))
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (row, column), 1)
    shares = counts / counts.sum(0)
    order = np.random.default_rng(seed).permutation(len(names))
    order = order[np.argsort(-shares[order].sum(1), kind="stable")]
    filled = np.zeros((folds, len(classes)))
    fold_of = np.zeros(len(names), dtype=np.int64)
    for name in order:
        spread = np.array([_spread(filled, fold, shares[name]) for fold in range(folds)])
        fold_of[name] = np.argmin(np.round(spread, 12))
        filled[fold_of[name]] += shares[name]
    return fold_of[row]


def class_probe(
    features: Float[np.ndarray, "photos features"],
    labels: Int[np.ndarray, " photos"],
    groups: Sequence[str],
    cfg: PhotoProbeConfig | None = None,
) -> ClassScores:
    """Multinomial logistic regression of classes 0, 1, ... on standardised features.

    Raises:
        ValueError: a photo without a class, or fewer groups than folds.
    """
    if labels.min() < 0:
        raise ValueError(f"{int((labels < 0).sum())} photos have no class; probe a labelled set")
    cfg, classes = cfg or PhotoProbeConfig(), int(labels.max()) + 1
    truth = torch.from_numpy(labels)

    def fit(x: Tensor, rows: Tensor, penalty: float) -> Tensor:
        return fit_logistic(x, truth[rows], classes, penalty)

    def wrong(told: Tensor, rows: Tensor) -> float:
        return float((told.argmax(1) != truth[rows]).double().mean())

    told, folds = _each_held_out(features, labels, groups, cfg, fit, wrong)
    found = told.argmax(1).numpy()
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (labels, found), 1)
    right = found == labels
    present = confusion.sum(1) > 0
    return ClassScores(
        accuracy=float(right.mean()),
        balanced_accuracy=float((confusion.diagonal() / confusion.sum(1).clip(1))[present].mean()),
        fold_accuracies=np.array([right[folds == fold].mean() for fold in range(cfg.folds)]),
        confusion=confusion,
    )


def point_probe(
    features: Float[np.ndarray, "photos features"],
    points: Float[np.ndarray, "photos points 2"],
    groups: Sequence[str],
    cfg: PhotoProbeConfig | None = None,
) -> PointScores:
    """Ridge regression of points, shares of the crop's side, on standardised features.

    Raises:
        ValueError: a photo without all its points, or fewer groups than folds.
    """
    if not np.isfinite(points).all():
        raise ValueError("some photos lack points; probe a set in which all are labelled")
    cfg = cfg or PhotoProbeConfig()
    truth = torch.from_numpy(points.reshape(len(points), -1)).double()

    def fit(x: Tensor, rows: Tensor, penalty: float) -> Tensor:
        return fit_ridge(x, truth[rows], penalty)

    def distance(told: Tensor, rows: Tensor) -> float:
        return float((told - truth[rows]).unflatten(1, (-1, 2)).norm(dim=-1).mean())

    alike = np.zeros(len(points), dtype=np.int64)
    told, folds = _each_held_out(features, alike, groups, cfg, fit, distance)
    predicted = told.unflatten(1, (-1, 2)).numpy()
    errors = np.linalg.norm(predicted - points, axis=-1)
    means = np.stack([points[folds != fold].mean(0) for fold in range(cfg.folds)])
    return PointScores(
        errors=errors.mean(0),
        fold_errors=np.array([errors[folds == fold].mean() for fold in range(cfg.folds)]),
        mean_errors=np.linalg.norm(means[folds] - points, axis=-1).mean(0),
        predicted=predicted,
    )


def fit_logistic(
    x: Float[Tensor, "photos features"],
    labels: Int[Tensor, " photos"],
    classes: int,
    penalty: float,
) -> Float[Tensor, "rows classes"]:
    """Weights, with offsets as last row: least mean cross entropy + penalty |W|^2 / 2."""
    weights = torch.zeros(x.shape[1] + 1, classes, dtype=x.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=200, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weights[:-1] + weights[-1], labels)
        value = value + penalty / 2 * weights[:-1].square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weights.detach()


def fit_ridge(
    x: Float[Tensor, "photos features"], y: Float[Tensor, "photos values"], penalty: float
) -> Float[Tensor, "rows values"]:
    """Weights, with offsets as last row: least mean |y - x W - b|^2 + penalty |W|^2."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    centred = x - mean_x
    moments = centred.T @ centred / len(x) + penalty * torch.eye(x.shape[1], dtype=x.dtype)
    weights = torch.linalg.solve(moments, centred.T @ (y - mean_y) / len(x))
    return torch.cat([weights, (mean_y - mean_x @ weights)[None]])


Fit = Callable[[Tensor, Tensor, float], Tensor]
Judge = Callable[[Tensor, Tensor], float]


def _each_held_out(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    cfg: PhotoProbeConfig,
    fit: Fit,
    judge: Judge,
) -> tuple[Tensor, np.ndarray]:
    """What a probe tells of each photo when it is held out, and the photos' folds."""
    folds = group_folds(groups, labels, cfg.folds, cfg.seed)
    x = torch.from_numpy(features).double()
    told: Tensor | None = None
    for fold in range(cfg.folds):
        learnt = np.flatnonzero(folds != fold)
        penalty = cfg.penalties[0]
        if len(cfg.penalties) > 1:
            penalty = _choose(x, learnt, labels, groups, cfg, fit, judge)
        found = _fit_and_tell(x, folds != fold, folds == fold, penalty, fit)
        told = x.new_zeros(len(x), found.shape[1]) if told is None else told
        told[torch.from_numpy(folds == fold)] = found
    assert told is not None  # there are at least two folds
    return told, folds


def _choose(
    x: Tensor,
    learnt: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[str],
    cfg: PhotoProbeConfig,
    fit: Fit,
    judge: Judge,
) -> float:
    """The penalty that does best on some of the groups a probe may learn from."""
    names = [groups[row] for row in learnt]
    parts = min(cfg.folds, len(set(names)))
    if parts < 2:
        raise ValueError("2 groups are too few to choose a penalty on one more; give one penalty")
    inner = group_folds(names, labels[learnt], parts, cfg.seed)
    train, check = (
        np.isin(np.arange(len(x)), learnt[chosen]) for chosen in (inner != 0, inner == 0)
    )
    rows = torch.from_numpy(np.flatnonzero(check))
    errors = [judge(_fit_and_tell(x, train, check, p, fit), rows) for p in cfg.penalties]
    return cfg.penalties[int(np.argmin(errors))]


def _fit_and_tell(
    x: Tensor,
    train: Bool[np.ndarray, " photos"],
    test: Bool[np.ndarray, " photos"],
    penalty: float,
    fit: Fit,
) -> Tensor:
    rows = torch.from_numpy(np.flatnonzero(train))
    mean, std = x[rows].mean(0), x[rows].std(0, correction=0).clamp(min=1e-6)
    weights = fit((x[rows] - mean) / std, rows, penalty)
    return (x[torch.from_numpy(test)] - mean) / std @ weights[:-1] + weights[-1]


def _spread(filled: np.ndarray, fold: int, share: np.ndarray) -> float:
    """How unlike the folds would be with one more group in one of them."""
    tried = filled.copy()
    tried[fold] += share
    return float(tried.std(0).mean())
