"""Every benchmark by name: `score_files` is what the command line calls."""

from collections.abc import Sequence
from pathlib import Path

from hand_pipeline.evaluation.scorers.dexycb import DEFAULT_SPLIT, score_dexycb
from hand_pipeline.evaluation.scorers.hint import score_hint
from hand_pipeline.evaluation.scorers.procrustes_hands import score_procrustes_hands
from hand_pipeline.evaluation.scorers.result import Score

BENCHMARKS = ("freihand", "ho3d_v2", "ho3d_v3", "dexycb", "hint")


def score_files(
    benchmark: str,
    gt: Path,
    pred: Path,
    allow_reflection: bool = True,
    splits: Sequence[str] = (),
    partial: bool = False,
) -> Score:
    """Score a prediction file as the benchmark's official program does.

    Args:
        benchmark: one of `BENCHMARKS`.
        gt: the labels, see the benchmark's scorer.
        pred: the file that is handed in, see the benchmark's scorer.
        allow_reflection: False: the alignment may not mirror hands, which the official programs let
            it. HInt's score aligns nothing.
        splits: DexYCB: one, default s0_test; HInt: any number of parts.
        partial: score the hands whose photos lie in `gt`, which may then lack others.

    Raises:
        DataSetError: the labels are missing or broken.
        ValueError: an unknown benchmark or split, or the prediction is missing or broken.
    """
    match benchmark:
        case "freihand" | "ho3d_v2" | "ho3d_v3":
            if splits:
                raise ValueError(f"{benchmark} has one split, evaluation; leave the split out")
            return score_procrustes_hands(benchmark, gt, pred, allow_reflection, partial)
        case "dexycb":
            if len(splits) > 1:
                raise ValueError(f"DexYCB is scored one split at a time, got {', '.join(splits)}")
            split = splits[0] if splits else DEFAULT_SPLIT
            return score_dexycb(gt, pred, split, allow_reflection, partial)
        case "hint":
            return score_hint(gt, pred, splits, partial)
    raise ValueError(f"unknown benchmark {benchmark!r}; known: {', '.join(BENCHMARKS)}")
