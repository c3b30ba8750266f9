"""Every benchmark's submission from one checkpoint: scored in process and from the file.

For each benchmark a small set of made-up hands is written in the data set's own layout, predicted
and exported as `hand_pipeline export` does; the file is scored by `hand_pipeline score`'s own path
against the set's label files, the arrays that went into it against the manifest's labels. Prints
both and the largest difference; fails if a length differs by 1e-5 mm or a share by 1e-5 (files hold
8 decimals of metres and 4 of pixels).

    python -m scripts.export_round_trip --checkpoint data/06_models/handmim_method.safetensors
"""

import argparse
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tests.fixtures.write import write_fixture

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.evaluation.joint_error import joint_errors
from hand_pipeline.evaluation.leaderboard import (
    BENCHMARKS,
    Benchmark,
    Exported,
    LeaderboardConfig,
    evaluation_hands,
    export_benchmark,
    predict_benchmark,
)
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.scorers.benchmarks import score_files
from hand_pipeline.methods import restore_as
from hand_pipeline.training.checkpoint import load_checkpoint
from hand_pipeline.training.method import Reconstructor

CFG = LeaderboardConfig(batch_size=8, partial=True)
LIMIT = 1e-5  # mm, or of 1
SHOWN = {
    "pred_json": ("mpjpe_mm", "st_mpjpe_mm", "pa_mpjpe_mm", "pa_mpvpe_mm", "auc_pa_joints", "f15"),
    "dexycb": ("mpjpe_mm", "rr_mpjpe_mm", "pa_mpjpe_mm"),
    "keypoints_2d": ("pck_0.05", "pck_0.1", "pck_0.15"),
}


class Comparison(NamedTuple):
    """Figures of one split, in process and from its file, by name."""

    benchmark: str
    part: Exported
    in_process: dict[str, float]
    from_file: dict[str, float]

    def difference(self, millimetres: bool) -> float:
        """Largest one over all figures that are, or are not, millimetres."""
        names = [name for name in self.in_process if name.endswith("_mm") == millimetres]
        return max((abs(self.in_process[n] - self.from_file[n]) for n in names), default=0.0)


def compare(
    name: str, model: Reconstructor, hands: int, work: Path, device: str
) -> list[Comparison]:
    """Write, export and score one benchmark's fixture, split by split."""
    benchmark, data, out = BENCHMARKS[name], work / name, work / "submission" / name
    for seed, split in enumerate(benchmark.splits):
        write_fixture(benchmark.hand_set, data, split, hands, seed)
    exported = export_benchmark(name, model, data, out, CFG, device)
    found = []
    for part in exported:
        images = evaluation_hands(benchmark, model, data, part.split)
        in_process = score_in_process(benchmark, model, images, device)
        splits = () if benchmark.form == "pred_json" else (part.split,)
        scored = score_files(name, data, part.files[-1], splits=splits).values
        from_file = dict(scored)
        if benchmark.form == "keypoints_2d":
            scored = scored[part.split]["all"]
            from_file = {key.removeprefix("kpAvg_"): value for key, value in scored.items()}
        found.append(Comparison(name, part, in_process, {n: from_file[n] for n in in_process}))
    return found


def score_in_process(
    benchmark: Benchmark, model: Reconstructor, images: HandImages, device: str
) -> dict[str, float]:
    """Figures of the predicted arrays, no file between."""
    placed = list(predict_benchmark(model, images, benchmark, CFG, device))
    joints, vertices, pixels = (
        np.concatenate([getattr(batch, field) for batch in placed])
        for field in ("joints", "vertices", "joints_2d")
    )
    truth = images.manifest
    match benchmark.form:
        case "pred_json":
            labelled = vertices_of(truth)
            summary = evaluate_hands(joints, vertices, truth.joints_3d, labelled).summary
            return {name: summary[name] for name in summary if name != "num_samples"}
        case "dexycb":
            errors = joint_errors(joints.astype(np.float64), truth.joints_3d.astype(np.float64))
            names = {"mpjpe", "rr_mpjpe", "pa_mpjpe"}
            return {f"{name}_mm": float(errors[name].mean() * 1000) for name in names}
        case "keypoints_2d":
            return pck(pixels, truth)


def vertices_of(manifest: HandManifest) -> np.ndarray:
    """The labelled meshes, which FreiHAND's and HO-3D's evaluation labels have."""
    assert manifest.vertices is not None
    return manifest.vertices


def pck(pixels: np.ndarray, truth: HandManifest) -> dict[str, float]:
    """HInt's shares over all joints in the frame: joint by joint, then their mean."""
    size = (truth.boxes[:, 2:] - truth.boxes[:, :2]).max(1)
    near = np.linalg.norm(pixels - truth.joints_2d, axis=-1) / size[:, None]
    counted = truth.has_joints_2d
    found = {}
    for threshold in (0.05, 0.1, 0.15):
        right = ((near <= threshold) & counted).sum(0) / counted.sum(0)
        found[f"pck_{threshold}"] = float(right.mean())
    return found


def report(found: list[Comparison]) -> bool:
    """Print the table; whether all agree."""
    print(f"{'benchmark':10} {'split':18} {'hands':>5} {'KB':>7}  {'figure':14} "
          f"{'in process':>12} {'from file':>12} {'difference':>11}")  # fmt: skip
    agree = True
    for row in found:
        head = (f"{row.benchmark:10} {row.part.split:18} {row.part.hands:5} "
                f"{row.part.num_bytes / 1e3:7.1f}")  # fmt: skip
        for name in SHOWN[BENCHMARKS[row.benchmark].form]:
            ours, files = row.in_process[name], row.from_file[name]
            print(f"{head}  {name:14} {ours:12.5f} {files:12.5f} {abs(ours - files):11.1e}")
            head = " " * len(head)
        lengths, shares = row.difference(True), row.difference(False)
        print(f"{head}  largest of {len(row.in_process)}: {lengths:.1e} mm, {shares:.1e} of 1")
        agree &= lengths < LIMIT and shares < LIMIT
    print("all agree" if agree else "THEY DO NOT AGREE")
    return agree


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="a fine-tuned model")
    parser.add_argument("--hands", type=int, default=16, help="in each fixture")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--benchmarks", nargs="+", default=list(BENCHMARKS), choices=BENCHMARKS)
    arguments = parser.parse_args()
    checkpoint = load_checkpoint(arguments.checkpoint)
    model = restore_as(Reconstructor, checkpoint, str(arguments.checkpoint)).to(arguments.device)
    with tempfile.TemporaryDirectory() as work:
        rows = [
            row
            for name in arguments.benchmarks
            for row in compare(name, model, arguments.hands, Path(work), arguments.device)
        ]
    if not report(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
