"""HInt's score: PCK of 2D joints, as HaMeR's evaluation counts it.

A joint is right if it lies within a share of the longer side of the labelled hand box (not the
enlarged crop); shares are taken joint by joint over all hands and then averaged over the 21 joints,
which differs from the share of all joints pooled. Three sets of joints are counted: all that are in
the frame, the visible and the occluded ones of these.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.evaluation.curves import pck_by_joint
from hand_pipeline.evaluation.metrics import check_finite
from hand_pipeline.evaluation.scorers.plausibility_2d import implausible_2d
from hand_pipeline.evaluation.scorers.result import Score, check_counts
from hand_pipeline.evaluation.submission import read_keypoints_2d
from hand_pipeline.geometry.mano import ManoHand

THRESHOLDS = (0.05, 0.1, 0.15)
DEFAULT_SPLITS = ("TEST_newdays_img", "TEST_epick_img", "TEST_ego4d_img")
JOINT_SETS = {"all": "all", "vis": "visible", "occ": "occluded"}
"""Ending of HaMeR's file names, and our name of the joints that are labelled in them."""

_CONFIDENT = 0.5


@dataclass(frozen=True)
class HintLabels:
    """Labels of one part of HInt.

    Attributes:
        name: e.g. "TEST_newdays_img".
        ids: of the hands.
        points: px of the full photo, OpenPose order.
        counted: which joints count, by joint set.
        sizes: longer side of each hand's box, px.
        centres: of the boxes, px.
        is_right: side of the hands.
    """

    name: str
    ids: tuple[str, ...]
    points: Float[np.ndarray, "hands 21 2"]
    counted: Mapping[str, Bool[np.ndarray, "hands 21"]]
    sizes: Float[np.ndarray, " hands"]
    centres: Float[np.ndarray, "hands 2"]
    is_right: Bool[np.ndarray, " hands"]


def score_hint(gt: Path, pred: Path, splits: Sequence[str] = (), partial: bool = False) -> Score:
    """Score 2D joints of one or several parts of HInt.

    Args:
        gt: a HaMeR evaluation file (`TEST_newdays_img_all.npz`), a folder of these, or HInt's
            annotation folder.
        pred: the predicted joints, px of the full photo, in the labels' order: a file if there is
            one part, else a folder with a file for each, `PART.npz` or `PART.json`.
        splits: parts; default: those of the files, of annotations the TEST images.
        partial: of annotations, score the hands whose frame is there, as a partial export has them.

    Raises:
        DataSetError: the labels are missing or broken.
        ValueError: predictions are missing, broken, not finite or of another number of hands.
    """
    values: dict[str, Any] = {}
    tables, warnings, notes = [], [], []
    parts = read_hint_labels(gt, splits, partial)
    for part in parts:
        path = _prediction_file(pred, part.name, len(parts) == 1)
        points = read_keypoints_2d(path)
        check_counts(len(part.ids), len(points), part.ids, str(path))
        check_finite({"predicted joints": points}, part.ids)
        values[part.name], said = _pck(part, points)
        notes += said
        tables.append(_per_sample(part, points))
        prefix = f"{part.name}: " if len(parts) > 1 else ""
        warnings += [prefix + text for text in _implausible(part, points)]
    values["num_samples"] = sum(len(part.ids) for part in parts)
    return Score("hint", values, pd.concat(tables), tuple(warnings), tuple(notes))


def read_hint_labels(
    gt: Path, splits: Sequence[str] = (), partial: bool = False
) -> list[HintLabels]:
    """Labels of the asked parts, see `score_hint`.

    Raises:
        DataSetError: they are missing or broken.
    """
    # HaMeR's folder also has freihand_val.npz and ho3d_val.npz, which are no part of HInt
    files = [gt]
    if gt.is_dir():
        files = sorted(path for end in JOINT_SETS for path in gt.glob(f"*_{end}.npz"))
    if not gt.exists():
        raise DataSetError(f"no {gt}; expected a HaMeR evaluation .npz or HInt's annotation folder")
    if not files:
        return [_from_annotations(gt, split, partial) for split in splits or _parts_in(gt)]
    by_part: dict[str, dict[str, Path]] = {}
    for path in files:
        name, _, ending = path.stem.rpartition("_")
        part, joints = (name, JOINT_SETS[ending]) if ending in JOINT_SETS else (path.stem, "all")
        by_part.setdefault(part, {})[joints] = path
    missing = [split for split in splits if split not in by_part]
    if missing:
        raise DataSetError(
            f"no labels of {', '.join(missing)} in {gt}; there: {', '.join(by_part)}"
        )
    return [_from_npz(part, by_part[part]) for part in splits or by_part]


def _parts_in(root: Path) -> list[str]:
    found = [s for s in DEFAULT_SPLITS if (root / s).is_dir() or list(root.glob(f"*/{s}"))]
    if not found:
        raise DataSetError(
            f"{root} holds neither .npz files nor {', '.join(DEFAULT_SPLITS)}; expected HaMeR's "
            "evaluation files or HInt's annotation folder"
        )
    return found


def _from_annotations(root: Path, split: str, partial: bool) -> HintLabels:
    hands = read_hands("hint", root, split, ManoHand(), partial)
    exists = np.asarray(hands.flags["existence"]).astype(bool)
    occluded = np.asarray(hands.flags["occluded"]).astype(bool)
    boxes = hands.boxes.astype(np.float64)
    return HintLabels(
        split,
        hands.ids,
        hands.joints_2d.astype(np.float64),
        {"all": exists, "visible": exists & ~occluded, "occluded": exists & occluded},
        (boxes[:, 2:] - boxes[:, :2]).max(axis=1),
        (boxes[:, 2:] + boxes[:, :2]) / 2,
        hands.is_right,
    )


def _from_npz(part: str, paths: Mapping[str, Path]) -> HintLabels:
    """One part from its files, which tell the joint sets by the joints' confidence."""
    arrays = {joints: _npz_arrays(path) for joints, path in paths.items()}
    first_name = "all" if "all" in arrays else next(iter(arrays))
    first = arrays[first_name]
    count = len(first["center"])
    for joints, other in arrays.items():
        if len(other["center"]) != count or not np.array_equal(other["center"], first["center"]):
            raise DataSetError(
                f"{paths[joints]} and {paths[first_name]} are not of the same hands in the same "
                "order; score them one by one"
            )
    keypoints = first["hand_keypoints_2d"]
    return HintLabels(
        part,
        tuple(f"{part}/{row:05d}" for row in range(count)),
        keypoints[..., :2],
        {j: arrays[j]["hand_keypoints_2d"][..., 2] > _CONFIDENT
         for j in JOINT_SETS.values() if j in arrays},
        first["scale"].reshape(count, -1).max(axis=1),
        first["center"],
        first["right"] > _CONFIDENT,
    )  # fmt: skip


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays that count; others, which may hold pickled objects, are not touched."""
    shapes = {"center": (2,), "hand_keypoints_2d": (21, 3)}
    try:
        with np.load(path, allow_pickle=False) as archive:
            missing = {*shapes, "scale"} - set(archive.files)
            if missing:
                raise ValueError(f"lacks {', '.join(sorted(missing))}")
            names = [*shapes, "scale", *({"right"} & set(archive.files))]
            found = {name: np.asarray(archive[name], dtype=np.float64) for name in names}
    except (OSError, ValueError, EOFError) as error:
        raise DataSetError(
            f"{path} is no HaMeR evaluation file (center, scale, hand_keypoints_2d): {error}"
        ) from error
    count = len(found["center"])
    found.setdefault("right", np.ones(count))
    for name, shape in shapes.items():
        if found[name].shape != (count, *shape):
            raise DataSetError(
                f"{path}: {name} has shape {found[name].shape}, expected N x {shape}"
            )
    if not count or found["scale"].shape not in {(count,), (count, 1), (count, 2)}:
        raise DataSetError(
            f"{path}: scale has shape {found['scale'].shape} for {count} hands, expected (N,) or "
            "(N, 2)"
        )
    for name in ("center", "scale", "hand_keypoints_2d"):
        if not np.isfinite(found[name]).all():
            raise DataSetError(f"{path}: {name} is not finite for every hand")
    found["right"] = found["right"].reshape(count)
    return found


def _prediction_file(pred: Path, part: str, single: bool) -> Path:
    if pred.is_file() and single:
        return pred
    if pred.is_dir():
        named = [pred / f"{part}{suffix}" for suffix in (".npz", ".json")]
        others = sorted([*pred.glob("*.npz"), *pred.glob("*.json")])
        found = [path for path in named if path.is_file()] or (others if single else [])
        if len(found) == 1:
            return found[0]
    raise ValueError(
        f"expected {'one file of joints or ' if single else ''}a folder with {part}.npz or "
        f"{part}.json, got {pred}"
    )


def _distances(part: HintLabels, points: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.sqrt(np.square(points - part.points).sum(axis=-1))
    return found


def _pck(part: HintLabels, points: np.ndarray) -> tuple[dict[str, Any], list[str]]:
    """Official keys by joint set, and what to know of them."""
    near = _distances(part, points)
    found: dict[str, Any] = {}
    notes = []
    for joint_set, counted in part.counted.items():
        labelled = counted.sum(axis=0)
        scores: dict[str, Any] = {}
        for threshold in THRESHOLDS:
            # no label, no share: the official program divides 0 by 0, and its mean is then NaN
            shares = pck_by_joint(near, part.sizes * threshold, counted)
            scores |= {
                f"kp{joint}_pck_{threshold}": float(share)
                for joint, share in enumerate(shares)
                if np.isfinite(share)
            }
            scores[f"kpAvg_pck_{threshold}"] = float(shares.mean())
        found[joint_set] = {**scores, "num_joints": int(labelled.sum())}
        if not labelled.all():
            notes.append(
                f"{part.name}, {joint_set}: joints {np.flatnonzero(labelled == 0).tolist()} are "
                "never labelled, so the official average is NaN (null)"
            )
    return found, notes


def _per_sample(part: HintLabels, points: np.ndarray) -> pd.DataFrame:
    """Mean error of each hand's joints of the first joint set; empty where it has none."""
    counted = next(iter(part.counted.values()))
    number = np.where(counted.any(axis=1), counted.sum(axis=1), np.nan)
    error = _distances(part, points)
    columns: dict[str, Any] = {"id": part.ids, "joints": counted.sum(axis=1)}
    columns["error_px"] = np.where(counted, error, 0).sum(axis=1) / number
    columns["error_by_box"] = columns["error_px"] / part.sizes
    for threshold in THRESHOLDS:
        right = (error <= part.sizes[:, None] * threshold) & counted
        columns[f"pck_{threshold}"] = right.sum(axis=1) / number
    return pd.DataFrame(columns)


def _implausible(part: HintLabels, points: np.ndarray) -> list[str]:
    seen = next(iter(part.counted.values()))
    return implausible_2d(points, part.points, seen, part.sizes, part.centres, part.is_right)
