"""Whether a model's confidence says how wrong its hypotheses are.

MaskHand (arXiv 2412.13393) ranks its hypotheses by confidence and shows no metric of it. Ours:
how confidence and error are ordered, how well confidence tells bad hands from good ones, which
share of hands is good at each confidence, and what choosing by confidence gains.

Only the order of confidences matters here, except to `calibration_curve`'s first column: a
probability, its logarithm or any other score will do, larger is surer.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import rankdata

from hand_pipeline.evaluation.joint_error import MM_PER_METRE, joint_errors
from hand_pipeline.evaluation.metrics import CHUNK
from hand_pipeline.evaluation.predict import PredictedHands

LIMIT_MM = 10.0
"""A hand or joint with a larger error counts as wrong."""

NUM_BINS = 10


class ConfidenceReport(NamedTuple):
    """What confidences are worth.

    Attributes:
        spearman: rank correlation of confidence and error; -1 is best, 0 means nothing.
        auroc: see `error_auroc`; None where it is not defined.
        share_within: of all, with an error of at most the limit.
        curve: see `calibration_curve`.
    """

    spearman: float
    auroc: float | None
    share_within: float
    curve: pd.DataFrame

    def summary(self) -> dict[str, float]:
        """The numbers by name; what is not defined is left out, so that none is NaN."""
        found = {"confidence_spearman": self.spearman, "share_within": self.share_within}
        return found if self.auroc is None else {**found, "confidence_auroc": self.auroc}


class BestOfK(NamedTuple):
    """Mean errors over photos of which several hypotheses were made.

    Attributes:
        chosen_mm: of the hypothesis with the highest confidence.
        mean_mm: of all hypotheses: what choosing blindly gives.
        oracle_mm: of the hypothesis nearest to the truth: what no choice can beat.
        share_gained: of the way from blind choice to the oracle; below 0 if confidence misleads, 0
            where the hypotheses are equally good and there is nothing to gain.
    """

    chosen_mm: float
    mean_mm: float
    oracle_mm: float
    share_gained: float


@dataclass(frozen=True)
class ScoredHypotheses:
    """Errors and confidences of all hypotheses of some photos, the surest of each first.

    Attributes:
        confidence: of each hypothesis, 0 to 1.
        joint_confidence: of its joints, 0 to 1.
        pa_mpjpe_mm: mean error of its joints after the Procrustes alignment.
        joint_errors_mm: of each joint after that alignment.
    """

    confidence: Float[np.ndarray, "photos hypotheses"]
    joint_confidence: Float[np.ndarray, "photos hypotheses 21"]
    pa_mpjpe_mm: Float[np.ndarray, "photos hypotheses"]
    joint_errors_mm: Float[np.ndarray, "photos hypotheses 21"]


class ConfidenceMetrics(NamedTuple):
    """What the confidences of a model are worth.

    Attributes:
        hands: each photo's surest hand, its confidence and its PA-MPJPE.
        joints: the joints of these hands, their confidence and error.
        best_of_k: what choosing the surest hypothesis gains, by PA-MPJPE.
    """

    hands: ConfidenceReport
    joints: ConfidenceReport
    best_of_k: BestOfK

    def summary(self) -> dict[str, dict[str, float]]:
        """The numbers by name."""
        return {
            "hands": self.hands.summary(),
            "joints": self.joints.summary(),
            "hypotheses": self.best_of_k._asdict(),
        }


def score_hypotheses(hands: PredictedHands, allow_reflection: bool = True) -> ScoredHypotheses:
    """Errors of every hypothesis of a set, some in double precision at a time.

    Args:
        hands: of a model that gives confidences.
        allow_reflection: whether the alignment may mirror (the official programs: yes).

    Raises:
        ValueError: the predictions hold no confidences.
    """
    if hands.hypotheses is None or hands.confidence is None or hands.joint_confidence is None:
        raise ValueError("expected predictions with confidences, got those of a model without")
    shape = hands.confidence.shape
    joints = hands.hypotheses.reshape(-1, 21, 3)
    photo = np.repeat(np.arange(shape[0]), shape[1])
    found = []
    for start in range(0, len(joints), CHUNK):
        rows = slice(start, start + CHUNK)
        truth = hands.gt_joints[photo[rows]].astype(np.float64)
        errors = joint_errors(joints[rows].astype(np.float64), truth, 0, allow_reflection)
        found.append(errors["pa_mpjpe"])
    each = np.concatenate(found).reshape(*shape, -1) * MM_PER_METRE
    return ScoredHypotheses(
        hands.confidence, hands.joint_confidence, each.mean(axis=-1), each.astype(np.float32)
    )


def confidence_metrics(
    scores: ScoredHypotheses, limit_mm: float = LIMIT_MM, num_bins: int = NUM_BINS
) -> ConfidenceMetrics:
    """How confidence and error of hands, joints and hypotheses belong together.

    Args:
        scores: of at least two photos.
        limit_mm: largest error that is good.
        num_bins: of the calibration curves.

    Raises:
        ValueError: fewer than two photos, or a value that is not finite.
    """
    return ConfidenceMetrics(
        confidence_report(scores.confidence[:, 0], scores.pa_mpjpe_mm[:, 0], limit_mm, num_bins),
        confidence_report(
            scores.joint_confidence[:, 0], scores.joint_errors_mm[:, 0], limit_mm, num_bins
        ),
        best_of_k(scores.confidence, scores.pa_mpjpe_mm),
    )


def confidence_report(
    confidence: Float[np.ndarray, "*samples"],
    error_mm: Float[np.ndarray, "*samples"],
    limit_mm: float = LIMIT_MM,
    num_bins: int = NUM_BINS,
) -> ConfidenceReport:
    """All figures of some hands, or of joints: whatever has one confidence and one error each.

    Args:
        confidence: larger is surer; any shape, all entries count alike.
        error_mm: of the same hands or joints, for example each hand's PA-MPJPE.
        limit_mm: largest error that is good.
        num_bins: of the calibration curve.

    Raises:
        ValueError: fewer than two samples, other shapes, a value that is not finite, no bin.
    """
    _check(confidence, error_mm)
    return ConfidenceReport(
        spearman=spearman(confidence, error_mm),
        auroc=error_auroc(confidence, error_mm, limit_mm),
        share_within=float((error_mm <= limit_mm).mean()),
        curve=calibration_curve(confidence, error_mm, limit_mm, num_bins),
    )


def spearman(
    confidence: Float[np.ndarray, "*samples"], error_mm: Float[np.ndarray, "*samples"]
) -> float:
    """Spearman's rank correlation; ties share their mean rank.

    0 if all confidences or all errors are equal, where it is not defined: such a confidence says
    nothing.

    Raises:
        ValueError: see `confidence_report`.
    """
    _check(confidence, error_mm)
    ranks = np.stack([rankdata(confidence, axis=None), rankdata(error_mm, axis=None)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    size = np.sqrt(np.square(centred).sum(axis=1)).prod()
    return float((centred[0] * centred[1]).sum() / size) if size > 0 else 0.0


def error_auroc(
    confidence: Float[np.ndarray, "*samples"],
    error_mm: Float[np.ndarray, "*samples"],
    limit_mm: float = LIMIT_MM,
) -> float | None:
    """How well low confidence finds errors above a limit: area under the ROC curve.

    That is the probability that a wrong sample has less confidence than a good one, ties counting
    half (Mann and Whitney's U over the number of pairs): 1 always, 0.5 chance, as for equal
    confidences.

    Returns:
        None if all samples are good or all are wrong: there is nothing to tell apart.

    Raises:
        ValueError: see `confidence_report`.
    """
    _check(confidence, error_mm)
    wrong = error_mm.ravel() > limit_mm
    num_wrong, num_good = int(wrong.sum()), int((~wrong).sum())
    if not num_wrong or not num_good:
        return None
    rank_sum = rankdata(confidence, axis=None)[~wrong].sum()
    pairs_won = rank_sum - num_good * (num_good + 1) / 2
    return float(pairs_won / (num_wrong * num_good))


def calibration_curve(
    confidence: Float[np.ndarray, "*samples"],
    error_mm: Float[np.ndarray, "*samples"],
    limit_mm: float = LIMIT_MM,
    num_bins: int = NUM_BINS,
) -> pd.DataFrame:
    """Share of good samples by confidence, in bins of equal counts.

    Equal confidences are never parted, so that the order of the samples does not matter: then
    counts differ, and there may be fewer bins. Without ties counts differ by one at most.

    Returns:
        One row a bin, least confident first: `confidence` (mean), `share_within` (error at most
        `limit_mm`), `error_mm` (mean), `count`.

    Raises:
        ValueError: see `confidence_report`.
    """
    _check(confidence, error_mm)
    if num_bins < 1:
        raise ValueError(f"expected at least one bin, got num_bins={num_bins}")
    place = (rankdata(confidence, axis=None) - 0.5) / confidence.size  # within (0, 1)
    samples = pd.DataFrame(
        {
            "confidence": confidence.ravel().astype(float),
            "share_within": (error_mm.ravel() <= limit_mm).astype(float),
            "error_mm": error_mm.ravel().astype(float),
        }
    )
    groups = samples.groupby(np.floor(place * num_bins).astype(int))
    return groups.mean().assign(count=groups.size()).reset_index(drop=True)


def best_of_k(
    confidence: Float[np.ndarray, "photos hypotheses"],
    error_mm: Float[np.ndarray, "photos hypotheses"],
) -> BestOfK:
    """Whether the most confident hypothesis of each photo is better than the average one.

    Where several are equally sure, `chosen_mm` takes their mean: what a draw among them gives.

    Raises:
        ValueError: no photo or hypothesis, other shapes, a value that is not finite.
    """
    _check(confidence, error_mm, fewest=1)
    top = confidence == confidence.max(axis=1, keepdims=True)
    chosen = float(np.mean((error_mm * top).sum(axis=1) / top.sum(axis=1)))
    mean, oracle = float(error_mm.mean()), float(error_mm.min(axis=1).mean())
    all_equal = bool((error_mm.min(axis=1) == error_mm.max(axis=1)).all())
    gained = 0.0 if all_equal else (mean - chosen) / (mean - oracle)
    return BestOfK(chosen, mean, oracle, gained)


def _check(confidence: np.ndarray, error_mm: np.ndarray, fewest: int = 2) -> None:
    if confidence.shape != error_mm.shape:
        raise ValueError(
            f"expected a confidence for each error, got shapes {confidence.shape} and "
            f"{error_mm.shape}"
        )
    if confidence.size < fewest:
        raise ValueError(f"expected at least {fewest} samples, got {confidence.size}")
    for name, values in (("confidences", confidence), ("errors", error_mm)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            raise ValueError(
                f"{bad} of {values.size} {name} are not finite; leave out samples without a label, "
                "and use the mean of logarithms for probabilities that vanish"
            )
