"""Time to pose hands, ours against smplx's `lbs`, which turns joint by joint.

Usage: PYTHONPATH=src python benchmarks/posing.py [--batches 1 32 256] [--repeats 30] [--threads 1]
Without and with gradients. Prints a table and a line of JSON; exit status 1 where ours is slower
in the batch of 32, or where a vertex or joint differs by more than 1e-6 metres.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from smplx.lbs import lbs
from torch import Tensor

from hand_pipeline.geometry.joints import MANO_PARENTS
from hand_pipeline.geometry.mano import ManoHand

DECIDES = 32
Pose = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def ours(mano: ManoHand) -> Pose:
    """Vertices and joints of the hand model."""
    return lambda pose, betas: tuple(mano(pose, betas))


def reference(mano: ManoHand) -> Pose:
    """The same by smplx, with tips and order of joints as ours."""
    parents = torch.tensor(MANO_PARENTS)
    tips, order = mano._tips, mano._to_openpose

    def posed(pose: Tensor, betas: Tensor) -> tuple[Tensor, Tensor]:
        vertices, joints = lbs(
            betas, pose, mano.template, mano.shapedirs, mano.posedirs, mano.joint_regressor,
            parents, mano.skinning_weights, pose2rot=False,
        )  # fmt: skip
        return vertices, torch.cat([joints, vertices[:, tips]], dim=1)[:, order]

    return posed


def seconds(run: Pose, pose: Tensor, betas: Tensor, gradients: bool, repeats: int) -> float:
    """Median time of a call, backward included where gradients are asked for."""
    pose, betas = (value.clone().requires_grad_(gradients) for value in (pose, betas))
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        vertices, joints = run(pose, betas)
        if gradients:
            (vertices.square().sum() + joints.square().sum()).backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    mano, generator = ManoHand(), torch.Generator().manual_seed(0)
    runs = {"ours": ours(mano), "smplx": reference(mano)}
    rows, largest = [], 0.0
    print("| hands | gradients | ours ms | smplx ms | times as fast |\n|---|---|---|---|---|")
    for count in chosen.batches:
        pose = mano.full_pose(0.5 * torch.randn(count, 48, generator=generator), False)
        betas = torch.randn(count, 10, generator=generator)
        both = [run(pose, betas) for run in runs.values()]
        largest = max(largest, *(float((a - b).abs().max()) for a, b in zip(*both)))
        for gradients in (False, True):
            taken = {
                name: seconds(run, pose, betas, gradients, chosen.repeats)
                for name, run in runs.items()
            }
            ratio = taken["smplx"] / taken["ours"]
            rows.append({"hands": count, "gradients": gradients, **taken, "ratio": ratio})
            told = "yes" if gradients else "no"
            print(
                f"| {count} | {told} | {taken['ours'] * 1e3:.2f} | {taken['smplx'] * 1e3:.2f} | "
                f"{ratio:.2f} |"
            )
    print(json.dumps({"rows": rows, "largest_difference": largest}))
    slower = any(row["hands"] == DECIDES and row["ratio"] < 1 for row in rows)
    sys.exit(int(slower or largest > 1e-6))


if __name__ == "__main__":
    main()
