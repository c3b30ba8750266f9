"""The official scores restated as plainly as possible: numpy and scipy, a loop a sample.

Written from a description of the programs (FreiHAND eval.py, HO-3D eval.py, dex-ycb-toolkit
hpe_eval.py, HaMeR's EvaluatorPCK) with nothing of hand_pipeline used, so that an error there cannot
hide here. Tests and scripts/compare_scores.py load this file by its path.
"""

import json

import numpy as np
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist


def normalised(points):
    centred = points - points.mean(0)
    size = np.linalg.norm(centred) + 1e-8
    return centred / size, size


def transform(truth, guess, reflection=True):
    """Rotation, scale between the normalised sets, and the truth's size."""
    (t, t_size), (g, _) = normalised(truth), normalised(guess)
    rotation, scale = orthogonal_procrustes(t, g)
    if not reflection and np.linalg.det(rotation) < 0:
        u, s, vt = np.linalg.svd(t.T @ g)
        rotation, scale = u @ np.diag([1, 1, -1]) @ vt, s[0] + s[1] - s[2]
    return rotation, scale, t_size


def align(truth, guess, reflection=True):
    rotation, scale, size = transform(truth, guess, reflection)
    return normalised(guess)[0] @ rotation.T * scale * size + truth.mean(0)


def align_mesh_by_joints(true_joints, joints, vertices, reflection=True):
    """What the programs do with a mesh of another number of vertices: the scale is not undone."""
    rotation, scale, size = transform(true_joints, joints, reflection)
    middle = vertices.mean(0)
    turned = (vertices - middle) @ rotation.T
    return turned * scale * size + (true_joints.mean(0) - joints.mean(0)) + middle


def align_one_bone(truth, guess, bone):
    length = np.sqrt(np.sum(np.square(guess[bone[1]] - guess[bone[0]])))
    if length > 0:
        guess = guess / length
    guess = guess * np.sqrt(np.sum(np.square(truth[bone[1]] - truth[bone[0]])))
    return guess - guess[0:1] + truth[0:1]


def errors(truth, guess):
    return np.sqrt(np.sum(np.square(truth - guess), axis=1))


def auc(table, last=0.05):
    """Area under the share of errors within 100 thresholds, point by point, then the mean."""
    table, thresholds, areas = np.stack(table), np.linspace(0, last, 100), []
    for point in range(table.shape[1]):
        curve = (table[:, point][:, None] <= thresholds).mean(0)
        areas.append(np.trapezoid(curve, thresholds) / last)
    return float(np.mean(areas))


def mean_error(table):
    return float(np.mean(np.mean(np.stack(table), axis=0)))


def f_score(truth, guess, threshold):
    apart = cdist(truth, guess)
    precision = np.mean(apart.min(1) < threshold)
    recall = np.mean(apart.min(0) < threshold)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


def procrustes_hands(true_xyz, true_verts, xyz, verts, ho3d=False, reflection=True):
    """scores.txt of FreiHAND's or HO-3D's program, centimetres, in the files' own joint order."""
    lists, f_scores = {}, {}
    comparable = len(verts[0]) == len(true_verts[0])
    for t, tv, g, gv in zip(true_xyz, true_verts, xyz, verts, strict=True):
        aligned_xyz = align(t, g, reflection)
        found = {"xyz": errors(t, g)}
        found["xyz_procrustes_al" if ho3d else "xyz_al"] = errors(t, aligned_xyz)
        if ho3d:
            found["xyz_scale_trans_al"] = errors(t, align_one_bone(t, g, (0, 4)))
        if comparable:
            aligned = align(tv, gv, reflection)
            found |= {"mesh": errors(tv, gv), "mesh_al": errors(tv, aligned)}
        else:
            aligned = align_mesh_by_joints(t, g, gv, reflection)
        for key, value in found.items():
            lists.setdefault(key, []).append(value)
        for limit in (5, 15):
            f_scores.setdefault(f"f_score_{limit}", []).append(f_score(tv, gv, limit / 1000))
            f_scores.setdefault(f"f_al_score_{limit}", []).append(
                f_score(tv, aligned, limit / 1000)
            )
    scores = {"mesh_mean3d": -100.0, "mesh_auc3d": -1.0}
    scores |= {"mesh_al_mean3d": -100.0, "mesh_al_auc3d": -1.0}
    for key, table in lists.items():
        scores[f"{key}_mean3d"] = mean_error(table) * 100
        scores[f"{key}_auc3d"] = auc(table)
    return scores | {key: float(np.mean(values)) for key, values in f_scores.items()}


def dexycb(labels_m, results_file, reflection=True):
    """The three rows of DexYCB's table, millimetres.

    Args:
        labels_m: {index: 21 x 3 metres}, all -1 where invalid.
        results_file: lines of index and 63 millimetres.
    """
    predicted = {}
    for line in results_file.read_text().splitlines():
        numbers = line.split(",")
        assert len(numbers) == 64
        predicted[int(numbers[0])] = np.array(numbers[1:], dtype=np.float64).reshape(21, 3)
    tables = {"absolute": [], "root-relative": [], "procrustes": []}
    for index, label in labels_m.items():
        if np.all(np.asarray(label) == -1):
            continue
        t, g = np.asarray(label) * 1000, predicted[int(index)]
        tables["absolute"].append(errors(t, g))
        tables["root-relative"].append(errors(t - t[0], g - g[0]))
        tables["procrustes"].append(errors(t, align(t, g, reflection)))
    return {k: {"mpjpe": mean_error(v), "auc": auc(v, 50)} for k, v in tables.items()}


def hint(points, truth_and_confidence, scale):
    """HaMeR's numbers of one evaluation file: joint by joint, then their mean."""
    scores = {}
    for threshold in (0.05, 0.1, 0.15):
        shares = []
        for joint in range(21):
            right, labelled = 0, 0
            for sample in range(len(points)):
                x, y, confidence = truth_and_confidence[sample][joint]
                if confidence > 0.5:
                    labelled += 1
                    apart = np.hypot(points[sample][joint][0] - x, points[sample][joint][1] - y)
                    right += apart <= threshold * np.max(scale[sample])
            shares.append(right / labelled if labelled else float("nan"))
            if labelled:
                scores[f"kp{joint}_pck_{threshold}"] = shares[-1]
        scores[f"kpAvg_pck_{threshold}"] = float(np.mean(shares))
    return scores


def evaluation_files(folder):
    """Labels of FreiHAND's and HO-3D's programs, as arrays a sample."""
    found = (json.loads((folder / f"evaluation_{n}.json").read_bytes()) for n in ("xyz", "verts"))
    return tuple([np.array(sample) for sample in part] for part in found)


def prediction_file(path):
    return tuple([np.array(sample) for sample in part] for part in json.loads(path.read_bytes()))
