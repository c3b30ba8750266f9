"""FreiHAND's and HO-3D's evaluation restated hand by hand in numpy and scipy.

The alignment and the measures follow the description of the official programs (FreiHAND, HO-3D:
`align_w_scale`, `align_sc_tr`, PCK lists of points, nearest neighbours), with nothing of ours used.
"""

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.geometry.mano import ManoHand


@pytest.fixture(scope="module")
def hands() -> dict[str, np.ndarray]:
    mano = ManoHand()
    generator = torch.Generator().manual_seed(5)
    pose = 0.3 * torch.randn(10, 48, generator=generator)
    truth = mano(mano.full_pose(pose, False), torch.randn(10, 10, generator=generator))
    pose = pose + 0.15 * torch.randn(10, 48, generator=generator)
    guess = mano(mano.full_pose(pose, False), torch.randn(10, 10, generator=generator))
    place = np.array([0.01, -0.03, 0.6])
    arrays = [guess.joints, guess.vertices, truth.joints, truth.vertices]
    joints, vertices, gt_joints, gt_vertices = (a.numpy().astype(np.float64) for a in arrays)
    return {
        "pred_joints": joints + place * 1.02,
        "pred_vertices": vertices + place * 1.02,
        "gt_joints": gt_joints + place,
        "gt_vertices": gt_vertices + place,
    }


def align(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    t_mean, g_mean = truth.mean(0), guess.mean(0)
    t, g = truth - t_mean, guess - g_mean
    t_size, g_size = np.linalg.norm(t) + 1e-8, np.linalg.norm(g) + 1e-8
    rotation, scale = orthogonal_procrustes(t / t_size, g / g_size)
    return (g / g_size) @ rotation.T * scale * t_size + t_mean


def align_one_bone(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    scale = np.linalg.norm(truth[9] - truth[0]) / np.linalg.norm(guess[9] - guess[0])
    scaled = guess * scale
    return scaled + truth[0] - scaled[0]


def mean_error_mm(truths, guesses, how) -> float:
    errors = [
        np.linalg.norm(how(t, g) - t, axis=1).mean() for t, g in zip(truths, guesses, strict=True)
    ]
    return float(np.mean(errors)) * 1000


def auc(truths, guesses, how) -> float:
    errors = np.stack(
        [np.linalg.norm(how(t, g) - t, axis=1) for t, g in zip(truths, guesses, strict=True)]
    )
    grid = np.linspace(0, 0.05, 100)
    areas = []
    for point in range(errors.shape[1]):
        curve = [np.mean(errors[:, point] <= threshold) for threshold in grid]
        area = sum((curve[i] + curve[i + 1]) / 2 * (grid[i + 1] - grid[i]) for i in range(99))
        areas.append(area / 0.05)
    return float(np.mean(areas))


def f_score(truths, guesses, how, threshold) -> float:
    scores = []
    for t, g in zip(truths, guesses, strict=True):
        distances = np.linalg.norm(how(t, g)[:, None] - t[None], axis=2)
        precision, recall = (
            np.mean(distances.min(1) < threshold),
            np.mean(distances.min(0) < threshold),
        )
        scores.append(2 * precision * recall / (precision + recall) if precision + recall else 0)
    return float(np.mean(scores))


def untouched(truth, guess):
    return guess


@pytest.fixture(scope="module")
def summary(hands) -> dict[str, float]:
    return evaluate_hands(**hands, workers=1).summary


@pytest.mark.parametrize(
    ("key", "points", "how"),
    [
        ("mpjpe_mm", "joints", untouched),
        ("pa_mpjpe_mm", "joints", align),
        ("st_mpjpe_mm", "joints", align_one_bone),
        ("mpvpe_mm", "vertices", untouched),
        ("pa_mpvpe_mm", "vertices", align),
    ],
)
def test_errors_match_the_official_formula(hands, summary, key, points, how):
    expected = mean_error_mm(hands[f"gt_{points}"], hands[f"pred_{points}"], how)
    assert summary[key] == pytest.approx(expected, abs=1e-6)


def test_root_relative_errors_match_their_formula(hands, summary):
    roots, true_roots = hands["pred_joints"][:, :1], hands["gt_joints"][:, :1]
    for key, points in (("rr_mpjpe_mm", "joints"), ("rr_mpvpe_mm", "vertices")):
        expected = mean_error_mm(
            hands[f"gt_{points}"] - true_roots, hands[f"pred_{points}"] - roots, untouched
        )
        assert summary[key] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "points", "how"),
    [
        ("auc_joints", "joints", untouched),
        ("auc_pa_joints", "joints", align),
        ("auc_vertices", "vertices", untouched),
        ("auc_pa_vertices", "vertices", align),
    ],
)
def test_areas_match_the_official_formula(hands, summary, key, points, how):
    expected = auc(hands[f"gt_{points}"], hands[f"pred_{points}"], how)
    assert summary[key] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("key", "how", "threshold"),
    [
        ("f5", align, 0.005),
        ("f15", align, 0.015),
        ("f5_raw", untouched, 0.005),
        ("f15_raw", untouched, 0.015),
    ],
)
def test_f_scores_match_the_official_formula(hands, summary, key, how, threshold):
    expected = f_score(hands["gt_vertices"], hands["pred_vertices"], how, threshold)
    assert summary[key] == pytest.approx(expected, abs=1e-6)
