"""DexYCB's hand pose scores: millimetres, absolute, root-relative and after Procrustes.

The official program works in millimetres throughout, which shows in its alignment's epsilon and in
ties with thresholds; so does this one. It has no mesh metric.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import hand_of, read_hands
from hand_pipeline.evaluation.curves import THRESHOLDS_MM, ErrorTally
from hand_pipeline.evaluation.joint_error import joint_errors
from hand_pipeline.evaluation.metrics import check_finite
from hand_pipeline.evaluation.scorers.plausibility import implausible
from hand_pipeline.evaluation.scorers.result import Score
from hand_pipeline.evaluation.submission import read_dexycb_results

DEFAULT_SPLIT = "s0_test"
_CHUNK = 8192
_OFFICIAL = {"absolute": "mpjpe", "root-relative": "rr_mpjpe", "procrustes": "pa_mpjpe"}
_AREAS = {"mpjpe": "auc_joints", "rr_mpjpe": "auc_rr_joints", "pa_mpjpe": "auc_pa_joints"}


def score_dexycb(
    gt: Path,
    pred: Path,
    split: str = DEFAULT_SPLIT,
    allow_reflection: bool = True,
    partial: bool = False,
) -> Score:
    """Score a results file: a line a sample, its index and 63 millimetres.

    Every labelled sample must be there; other lines are ignored, as in the official program.

    Args:
        gt: DexYCB's root, or a JSON of `{index: 21 x 3 metres}` (all -1 where invalid).
        pred: the results file.
        split: of the root, e.g. "s0_test".
        allow_reflection: the official program lets the alignment mirror.
        partial: score the frames that the root has; every subject must be whole all the same.

    Raises:
        DataSetError: the labels are missing or broken.
        ValueError: predictions are missing (with their indices), broken or not finite.
    """
    indices, truth = (
        _labels_from_json(gt) if gt.is_file() else _labels_from_root(gt, split, partial)
    )
    found_indices, predicted, repeated = _last_of_each(*read_dexycb_results(pred))
    row_of = {index: row for row, index in enumerate(found_indices.tolist())}
    missing = [index for index in indices.tolist() if index not in row_of]
    if missing:
        listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise ValueError(
            f"{pred} lacks {len(missing)} of the {len(indices)} labelled samples: index {listed}; "
            f"an index is the position in the whole split ({split}), frames without a label counted"
        )
    joints = predicted[[row_of[index] for index in indices.tolist()]]
    names = [str(index) for index in indices.tolist()]
    check_finite({"true joints": truth, "predicted joints": joints}, names)
    tallies: dict[str, ErrorTally] = {}
    for start in range(0, len(names), _CHUNK):
        rows = slice(start, start + _CHUNK)
        errors = joint_errors(joints[rows], truth[rows], allow_reflection=allow_reflection)
        for key, values in errors.items():
            if key != "st_mpjpe":
                tallies.setdefault(key, ErrorTally(THRESHOLDS_MM)).add(values)
    notes = [f"{repeated} indices stand in {pred} more than once; the last counts"] * bool(repeated)
    return Score(
        "dexycb",
        {"split": None if gt.is_file() else split, "allow_reflection": allow_reflection}
        | _values(tallies)
        | {"num_samples": len(names)},
        pd.DataFrame({"id": names, **{f"{k}_mm": tally.means for k, tally in tallies.items()}}),
        tuple(implausible(joints, truth, "dexycb", "millimetres")),
        tuple(notes),
    )


def _last_of_each(
    indices: Int[np.ndarray, " lines"], joints: Float[np.ndarray, "lines 21 3"]
) -> tuple[Int[np.ndarray, " samples"], Float[np.ndarray, "samples 21 3"], int]:
    """Results by index, the later line overruling the earlier; also how many were overruled."""
    known, last = np.unique(indices[::-1], return_index=True)
    return known, joints[::-1][last], len(indices) - len(known)


def _labels_from_root(root: Path, split: str, partial: bool) -> tuple[np.ndarray, np.ndarray]:
    """Indices and joints, millimetres; multiplied in single precision, as the official program."""
    hands = read_hands("dexycb", root, split, hand_of("dexycb"), partial)
    labelled = hands.has_joints_3d.all(axis=1)
    if not labelled.any():
        raise DataSetError(f"no hand of {root} {split} has 3D joints to score against")
    indices = np.asarray(hands.flags["index"])[labelled].astype(np.int64)
    if (indices < 0).any():
        raise DataSetError(
            f"{root} lacks parts of DexYCB, so the places in its official list are not known; "
            "results can only be scored against the whole set, or a JSON of the labels"
        )
    in_mm = hands.joints_3d[labelled].astype(np.float32) * np.float32(1000)
    return indices, in_mm.astype(np.float64)


def _labels_from_json(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__} instead of an object")
        indices = np.array([int(index) for index in content], dtype=np.int64)
        joints = np.array(list(content.values()), dtype=np.float64)
        if joints.shape[1:] != (21, 3):
            raise ValueError(f"joints of shape {joints.shape[1:]}")
    except (ValueError, TypeError) as error:
        raise DataSetError(
            f"expected {{index: 21 x 3 metres}} in {path}, or DexYCB's root folder: {error}"
        ) from error
    labelled = ~(joints == -1).all(axis=(1, 2))
    if not labelled.any():
        raise DataSetError(f"{path} labels no sample: all joints of each are -1")
    return indices[labelled], joints[labelled] * 1000.0


def _values(tallies: dict[str, ErrorTally]) -> dict[str, Any]:
    means = {key: float(tally.means.mean()) for key, tally in tallies.items()}
    official = {
        name: {"mpjpe": means[key], "auc": tallies[key].area} for name, key in _OFFICIAL.items()
    }
    ours = {f"{key}_mm": mean for key, mean in means.items()}
    return official | ours | {area: tallies[key].area for key, area in _AREAS.items()}
