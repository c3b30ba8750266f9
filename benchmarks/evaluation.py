"""Scoring full evaluation sets: time, memory, and the ratio to the official way of counting.

FreiHAND's 3,960 hands in at most 10 s and HO-3D v3's 20,137 in at most 60 s on two cores, under
2 GB. Each set is scored in a process of its own, through files as a user has them, so that the
memory is that set's alone; reading them is a line of its own. The reference does what the official
programs do for each hand (scipy's orthogonal Procrustes, PCK lists over 100 thresholds for 778
vertices, nearest neighbours by a tree), on fewer hands, scaled up.

    PYTHONPATH=src python benchmarks/evaluation.py [--sets freihand ho3d_v3] [--reference 60]
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from scipy.spatial import cKDTree

from hand_pipeline.data.readers.hand_sets import HAND_SETS
from hand_pipeline.evaluation.metrics import CURVES, evaluate_hands
from hand_pipeline.evaluation.scorers.plausibility import implausible
from hand_pipeline.evaluation.scorers.procrustes_hands import read_evaluation_labels
from hand_pipeline.evaluation.submission import read_submission
from hand_pipeline.geometry.joints import permutation
from hand_pipeline.geometry.mano import ManoHand

LIMITS_S = {"freihand": 10.0, "ho3d_v3": 60.0}
LIMIT_GB = 2.0
DISTINCT = 256  # hands; a full set repeats them, which saves minutes of writing and no scoring


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


def write_set(folder: Path, name: str, count: int) -> None:
    """Label files and pred.json, micrometres, in the set's joint order (axes do not matter)."""
    hands = make_hands(DISTINCT)
    order = list(permutation("openpose", "freihand" if name == "freihand" else "ho3d"))
    files = {"pred": folder / "pred.json"}
    rows = {}
    for key, values in hands.items():
        points = values[:, order] if key.endswith("joints") else values
        rows[key] = [json.dumps(hand) for hand in np.round(points.astype(float), 6).tolist()]
    repeated = {k: [r[i % DISTINCT] for i in range(count)] for k, r in rows.items()}
    with files["pred"].open("w") as stream:
        for opening, key in (("[[", "pred_joints"), ("], [", "pred_vertices")):
            stream.write(opening + ", ".join(repeated[key]))
        stream.write("]]")
    for label, key in (("xyz", "gt_joints"), ("verts", "gt_vertices")):
        (folder / f"evaluation_{label}.json").write_text(f"[{', '.join(repeated[key])}]")


def peak_gb() -> float:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2


def score_set(folder: Path, name: str, results: "multiprocessing.Queue[dict[str, float]]") -> None:
    start, cpu = time.perf_counter(), time.process_time()
    true_joints, true_vertices = read_evaluation_labels(folder)
    labels_gb = peak_gb()
    joints, vertices = read_submission(folder / "pred.json")
    read, read_cpu, read_gb = time.perf_counter(), time.process_time(), peak_gb()
    order = list(permutation("freihand" if name == "freihand" else "ho3d", "openpose"))
    joints, true_joints = joints[:, order], true_joints[:, order]
    found = evaluate_hands(
        joints, vertices, true_joints, true_vertices, curves={**CURVES, "st_joints": "st_mpjpe"}
    )
    warnings = implausible(joints, true_joints, "freihand", "metres")
    results.put(
        {
            "read_s": read - start, "read_cpu_s": read_cpu - cpu,
            "score_s": time.perf_counter() - read, "score_cpu_s": time.process_time() - read_cpu,
            "labels_gb": labels_gb, "read_gb": read_gb, "peak_gb": peak_gb(),
            "hands": len(joints), "warnings": len(warnings), "f5": found.summary["f5"],
        }
    )  # fmt: skip


def score_arrays(name: str, count: int, results: "multiprocessing.Queue[dict[str, float]]") -> None:
    """The same numbers as arrays in double precision: the memory of scoring without reading."""
    few = make_hands(DISTINCT)
    rows = np.arange(count) % DISTINCT
    hands = {key: value.astype(np.float64)[rows] for key, value in few.items()}
    held = peak_gb()
    evaluate_hands(
        hands["pred_joints"], hands["pred_vertices"], hands["gt_joints"], hands["gt_vertices"]
    )
    results.put({"held_gb": held, "peak_gb": peak_gb()})


def in_own_process(function: object, *arguments: object) -> dict[str, float]:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[dict[str, float]] = context.Queue()
    process = context.Process(target=function, args=(*arguments, results))  # type: ignore[arg-type]
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"scoring ended with {process.exitcode}")
    return results.get()


def align(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    t, g = truth - truth.mean(0), guess - guess.mean(0)
    t_size, g_size = np.linalg.norm(t) + 1e-8, np.linalg.norm(g) + 1e-8
    rotation, scale = orthogonal_procrustes(t / t_size, g / g_size)
    return (g / g_size) @ rotation.T * scale * t_size + truth.mean(0)


def hand_by_hand(hands: dict[str, np.ndarray]) -> float:
    """CPU seconds a hand of the official programs' errors, alignments and F-scores (by a tree)."""
    start = time.process_time()
    for i in range(len(hands["gt_joints"])):
        for points in ("joints", "vertices"):
            truth = hands[f"gt_{points}"][i].astype(np.float64)
            guess = hands[f"pred_{points}"][i].astype(np.float64)
            for candidate in (guess, align(truth, guess)):
                np.linalg.norm(candidate - truth, axis=1)
                if points == "vertices":
                    for threshold in (0.005, 0.015):
                        sum(d < threshold for d in cKDTree(truth).query(candidate)[0])
                        sum(d < threshold for d in cKDTree(candidate).query(truth)[0])
    return (time.process_time() - start) / len(hands["gt_joints"])


def pck_lists(count: int, points: int = 10) -> float:
    """CPU seconds of the official programs' PCK of all points, raw and aligned; from a few."""
    errors = np.random.default_rng(0).uniform(0, 0.06, size=(points, count))
    start = time.process_time()
    for of_point in errors:
        np.trapezoid([(of_point <= t).astype(float).mean() for t in np.linspace(0, 0.05, 100)])
    return (time.process_time() - start) / points * 2 * (21 + 778)


def brute_force_f_scores(hands: dict[str, np.ndarray]) -> float:
    """CPU seconds of HO-3D's way: every distance between two meshes, four times a hand."""
    start = time.process_time()
    for truth, guess in zip(hands["gt_vertices"], hands["pred_vertices"]):
        for _ in range(4):
            apart = np.linalg.norm(truth[:, None] - guess[None], axis=2)
            apart.min(0), apart.min(1)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=LIMITS_S, default=list(LIMITS_S))
    parser.add_argument("--reference", type=int, default=60)
    parser.add_argument("--hands", type=int, help="instead of each full set")
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    print(f"cores {cores}  load {os.getloadavg()[0]:.1f}  torch threads {torch.get_num_threads()}")
    few = make_hands(args.reference)
    each = hand_by_hand(few)
    brute = brute_force_f_scores({k: v[:5] for k, v in few.items()}) / 5
    for name in args.sets:
        count = args.hands or HAND_SETS[name].splits["evaluation"]
        assert count is not None
        arrays = in_own_process(score_arrays, name, count)
        with tempfile.TemporaryDirectory() as folder:
            write_set(Path(folder), name, count)
            size = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1024**3
            found = in_own_process(score_set, Path(folder), name)
        print(f"\n{name}: {count} hands, {size:.2f} GB of JSON")
        line("read the JSON", found["read_s"], found["read_cpu_s"], found["read_gb"])
        line("score", found["score_s"], found["score_cpu_s"], found["peak_gb"])
        print(f"  limits                {LIMITS_S[name]:8.1f} s{'':19}{LIMIT_GB:5.2f} GB")
        print(
            f"  scoring arrays: peak {arrays['peak_gb']:.2f} GB, {arrays['held_gb']:.2f} before; "
            f"reading: {found['labels_gb']:.2f} GB after the labels"
        )
        official = each * count + pck_lists(count)
        line(f"hand by hand (from {args.reference})", official, official, ours=found)
        if name != "freihand":
            line("its brute-force F (5)", brute * count, brute * count, ours=found)


def line(
    what: str, seconds: float, cpu: float, memory: float = 0, ours: dict[str, float] | None = None
) -> None:
    text = f"  {what:22}{seconds:8.1f} s   CPU {cpu:8.1f} s"
    if memory:
        text += f"   {memory:5.2f} GB peak"
    if ours:
        text += f"   {cpu / ours['score_cpu_s']:.0f} times our CPU time"
    print(text, flush=True)


if __name__ == "__main__":
    main()
