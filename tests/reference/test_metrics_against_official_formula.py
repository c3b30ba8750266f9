"""FreiHAND's and HO-3D's evaluation restated hand by hand in numpy and scipy.

The alignment and the measures are those of plain_scores.py, which uses nothing of ours.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.geometry.mano import ManoHand

_SPEC = importlib.util.spec_from_file_location(
    "plain_scores", Path(__file__).with_name("plain_scores.py")
)
plain_scores = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(plain_scores)


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


align = plain_scores.align


def align_one_bone(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    return plain_scores.align_one_bone(truth, guess, (0, 9))


def mean_error_mm(truths, guesses, how) -> float:
    errors = [plain_scores.errors(t, how(t, g)) for t, g in zip(truths, guesses, strict=True)]
    return plain_scores.mean_error(errors) * 1000


def auc(truths, guesses, how) -> float:
    return plain_scores.auc(
        [plain_scores.errors(t, how(t, g)) for t, g in zip(truths, guesses, strict=True)]
    )


def f_score(truths, guesses, how, threshold) -> float:
    pairs = zip(truths, guesses, strict=True)
    return float(np.mean([plain_scores.f_score(t, how(t, g), threshold) for t, g in pairs]))


def untouched(truth, guess):
    return guess


@pytest.fixture(scope="module")
def summary(hands) -> dict[str, float]:
    return evaluate_hands(**hands).summary


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
