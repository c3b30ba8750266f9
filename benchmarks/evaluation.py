"""Scoring FreiHAND's 3,960 evaluation hands: our whole table against the official way of counting.

The reference does what the official program does for each hand (scipy's orthogonal Procrustes,
PCK lists over 100 thresholds for 778 vertices, nearest neighbours by a tree), on fewer hands,
scaled up.

    PYTHONPATH=src python benchmarks/evaluation.py [--hands 3960] [--reference 60]
"""

import argparse
import os
import time

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.geometry.mano import ManoHand


def make_hands(count: int) -> dict[str, np.ndarray]:
    """Hands in random poses, and predictions about as wrong as a trained network's."""
    mano = ManoHand()
    generator = torch.Generator().manual_seed(0)
    pose = 0.3 * torch.randn(count, 48, generator=generator)
    betas = torch.randn(count, 10, generator=generator)
    place = torch.tensor([0.0, 0.0, 0.6])
    with torch.inference_mode():
        truth = mano(mano.full_pose(pose, False), betas, place.repeat(count, 1))
        pose = pose + 0.1 * torch.randn(count, 48, generator=generator)
        place = place + 0.02 * torch.randn(count, 3, generator=generator)
        guess = mano(mano.full_pose(pose, False), betas * 0.5, place)
    return {
        "pred_joints": guess.joints.numpy(),
        "pred_vertices": guess.vertices.numpy(),
        "gt_joints": truth.joints.numpy(),
        "gt_vertices": truth.vertices.numpy(),
    }


def align(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    t, g = truth - truth.mean(0), guess - guess.mean(0)
    t_size, g_size = np.linalg.norm(t) + 1e-8, np.linalg.norm(g) + 1e-8
    rotation, scale = orthogonal_procrustes(t / t_size, g / g_size)
    return (g / g_size) @ rotation.T * scale * t_size + truth.mean(0)


def score_like_the_official_program(hands: dict[str, np.ndarray]) -> float:
    """Seconds for errors, PCK lists and F-scores of every hand, raw and aligned."""
    start = time.perf_counter()
    thresholds = np.linspace(0, 0.05, 100)
    lists: dict[str, list[np.ndarray]] = {"joints": [], "vertices": []}
    for i in range(len(hands["gt_joints"])):
        for points in ("joints", "vertices"):
            truth = hands[f"gt_{points}"][i].astype(np.float64)
            guess = hands[f"pred_{points}"][i].astype(np.float64)
            for candidate in (guess, align(truth, guess)):
                lists[points].append(np.linalg.norm(candidate - truth, axis=1))
                if points == "vertices":
                    for threshold in (0.005, 0.015):
                        (cKDTree(truth).query(candidate)[0] < threshold).mean()
                        (cKDTree(candidate).query(truth)[0] < threshold).mean()
    for errors in lists.values():
        stacked = np.stack(errors)
        for raw_or_aligned in (stacked[::2], stacked[1::2]):
            for point in range(stacked.shape[1]):
                np.trapezoid([(raw_or_aligned[:, point] <= t).mean() for t in thresholds])
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hands", type=int, default=3960)
    parser.add_argument("--reference", type=int, default=60)
    args = parser.parse_args()
    hands = make_hands(args.hands)
    start = time.perf_counter()
    evaluate_hands(**hands)
    ours = time.perf_counter() - start
    few = {key: value[: args.reference] for key, value in hands.items()}
    reference = score_like_the_official_program(few) * args.hands / args.reference
    cores = len(os.sched_getaffinity(0))
    print(f"hands {args.hands}  cores {cores}  torch threads {torch.get_num_threads()}")
    print(f"ours                     {ours:8.1f} s")
    print(f"hand by hand (estimated) {reference:8.1f} s   ratio {reference / ours:.1f}")


if __name__ == "__main__":
    main()
