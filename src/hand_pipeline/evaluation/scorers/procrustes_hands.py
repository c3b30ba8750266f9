"""FreiHAND's and HO-3D's scores: one definition, two spellings.

Scores are those of the programs' scores.txt: errors in centimetres, areas and F-scores from 0 to
1; `evaluation.metrics.evaluate_hands` says how each is computed. HO-3D's files hold HO-3D's joint
order and OpenGL axes, labels and predictions alike, so no axis is touched; joints are only
reordered, because the scale-and-translation alignment goes by the middle finger's base (4 there,
9 here).
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.data.readers.json_arrays import read_rows
from hand_pipeline.evaluation.metrics import CURVES, check_finite, evaluate_hands
from hand_pipeline.evaluation.scorers.plausibility import implausible
from hand_pipeline.evaluation.scorers.result import Score, check_counts
from hand_pipeline.evaluation.submission import read_submission
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import ManoHand

_CM_PER_MM = 0.1
_KEYS = {
    "xyz": "mpjpe",
    "xyz_al": "pa_mpjpe",
    "xyz_procrustes_al": "pa_mpjpe",
    "xyz_scale_trans_al": "st_mpjpe",
    "mesh": "mpvpe",
    "mesh_al": "pa_mpvpe",
}
"""Official prefix (`PREFIX_mean3d`, `PREFIX_auc3d`) and our name of the error."""

_CURVES = {**CURVES, "st_joints": "st_mpjpe"}
_PREFIXES = {
    "freihand": ("xyz", "xyz_al", "mesh", "mesh_al"),
    "ho3d": ("xyz", "xyz_procrustes_al", "xyz_scale_trans_al", "mesh", "mesh_al"),
}


def score_procrustes_hands(
    benchmark: str, gt: Path, pred: Path, allow_reflection: bool = True, partial: bool = False
) -> Score:
    """Score a `pred.json` (or the zip of it, or its folder).

    Args:
        benchmark: "freihand", "ho3d_v2" or "ho3d_v3".
        gt: folder with `evaluation_xyz.json` and `evaluation_verts.json`.
        pred: the file that is handed in.
        allow_reflection: the official programs let the alignment mirror.
        partial: score the hands whose photo lies in `gt`, as a partial export has them.

    Raises:
        DataSetError: the labels are missing or broken.
        ValueError: the prediction is missing, broken, not finite or of another number of hands.
    """
    family = "freihand" if benchmark == "freihand" else "ho3d"
    true_joints, true_vertices = read_evaluation_labels(gt)
    names = _names(gt, len(true_joints))
    if partial:
        there = set(read_hands(benchmark, gt, "evaluation", ManoHand(), partial).ids)
        rows = [row for row, name in enumerate(names) if f"evaluation/{name}" in there]
        names = [names[row] for row in rows]
        true_joints, true_vertices = true_joints[rows], true_vertices[rows]
    path = _submission_file(pred)
    joints, vertices = read_submission(path)
    check_counts(len(names), len(joints), names, str(path))
    labels = {"true joints": true_joints, "true vertices": true_vertices}
    check_finite(labels | {"predicted joints": joints}, names)
    to_ours = list(permutation(family, "openpose"))
    joints, true_joints = joints[:, to_ours], true_joints[:, to_ours]
    found = evaluate_hands(
        joints, vertices, true_joints, true_vertices, names, allow_reflection,
        curves=_CURVES,
    )  # fmt: skip
    return Score(
        benchmark,
        {
            "allow_reflection": allow_reflection,
            **_official(family, found.summary),
            **{key: value for key, value in found.summary.items() if key != "num_samples"},
            "num_samples": len(names),
        },
        found.per_sample,
        tuple(implausible(joints, true_joints, family, "metres")),
        tuple(_notes(benchmark, len(names), vertices.shape[1], true_vertices.shape[1])),
    )


def read_evaluation_labels(
    folder: Path,
) -> tuple[Float[np.ndarray, "samples 21 3"], Float[np.ndarray, "samples 778 3"]]:
    """Joints and vertices of the official evaluation labels, in double precision.

    Raises:
        DataSetError: a file is missing, cut short, ragged, or the two disagree.
    """
    found = []
    for name, points in (("xyz", 21), ("verts", 778)):
        path = folder / f"evaluation_{name}.json"
        if not path.is_file():
            raise DataSetError(
                f"no {path}; expected the folder with evaluation_xyz.json and "
                "evaluation_verts.json, which the authors of FreiHAND and HO-3D publish"
            )
        found.append(read_rows(path, (points, 3), np.float64))
    joints, vertices = found
    if len(joints) != len(vertices):
        raise DataSetError(
            f"evaluation_xyz.json of {folder} has {len(joints)} samples, evaluation_verts.json "
            f"{len(vertices)}; they must come from one release"
        )
    if not len(joints):
        raise DataSetError(f"the evaluation labels of {folder} hold no sample")
    return joints, vertices


def _submission_file(pred: Path) -> Path:
    """The file itself, or the one that the official programs would take of a folder."""
    if not pred.is_dir():
        if not pred.is_file():
            raise ValueError(f"no file {pred}; expected a pred.json or pred.zip")
        return pred
    if (pred / "pred.json").is_file():
        return pred / "pred.json"
    candidates = sorted(pred.glob("*.json")) or sorted(pred.glob("*.zip"))
    if len(candidates) != 1:
        raise ValueError(
            f"expected pred.json or one other .json in {pred}, got "
            f"{[path.name for path in candidates]}; name the file itself"
        )
    return candidates[0]


def _names(gt: Path, count: int) -> list[str]:
    """Frames of HO-3D's evaluation.txt where it lies beside the labels, else numbers."""
    listing = gt / "evaluation.txt"
    if listing.is_file():
        frames = listing.read_text(encoding="utf-8").split()
        if len(frames) == count and len(set(frames)) == count:
            return frames
    return [f"{i:08d}" for i in range(count)]


def _official(family: str, summary: dict[str, float]) -> dict[str, float]:
    curves = {error: name for name, error in _CURVES.items()}
    scores = {}
    for prefix in _PREFIXES[family]:
        error = _KEYS[prefix]
        # a mesh of another kind has no vertex errors: the programs write -1 and, in cm, -100
        mean = summary.get(f"{error}_mm")
        scores[f"{prefix}_mean3d"] = -100.0 if mean is None else mean * _CM_PER_MM
        scores[f"{prefix}_auc3d"] = summary.get(f"auc_{curves[error]}", -1.0)
    for limit in (5, 15):
        scores[f"f_score_{limit}"] = summary[f"f{limit}_raw"]
        scores[f"f_al_score_{limit}"] = summary[f"f{limit}"]
    return scores


def _notes(benchmark: str, count: int, vertices: int, true_vertices: int) -> list[str]:
    notes = []
    official: Any = HAND_SETS[benchmark].splits["evaluation"]
    if count != official:
        notes.append(f"{count} hands scored; {HAND_SETS[benchmark].title} has {official:,}")
    if vertices != true_vertices:
        notes.append(
            f"meshes of {vertices} vertices do not correspond to the labels' {true_vertices}: as "
            "in the official program mesh_* are -1 (in centimetres -100), and the aligned F-scores "
            "follow the joints' transform, which shrinks the mesh"
        )
    return notes
