"""What a member of a sweep costs beyond its training: process, records, MLflow on sqlite.

    PYTHONPATH=src python benchmarks/sweep_overhead.py [--members 8] [--workers 1]

Trains VQ-MANO in the smoke profile with as many learning rates as members. Cost beyond training is
the time of the whole sweep less that of its nodes, over the members; what happens once (imports of
the process server, plan) is told apart. Goal: at most 2 s a member.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

from kedro.config import OmegaConfigLoader
from tests.fixtures.write import write_fixture

from hand_pipeline import spool, tracking
from hand_pipeline.config import MachineConfig
from hand_pipeline.settings import CONFIG_LOADER_ARGS
from hand_pipeline.sweeps.declaration import SweepConfig
from hand_pipeline.sweeps.project import Project
from hand_pipeline.sweeps.run import plan_sweep, run_sweep

ROOT = Path(__file__).parents[1]
GOAL = 2.0


def open_project(root: Path) -> Project:
    """The smoke profile with its data below `root`."""
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), env="smoke", base_env="base",
        merge_strategy=CONFIG_LOADER_ARGS["merge_strategy"],
    )  # fmt: skip
    data, text = loader["globals"]["data"], json.dumps(loader["catalog"])
    catalog = json.loads(text.replace(f'"{data}/', f'"{root}/data/'))
    for split in ("training", "evaluation"):
        write_fixture("freihand", root / "data/02_intermediate/synthetic_hands", split, 4)
    return Project(root, root / "data", "smoke", loader["parameters"], catalog)


def start_tracking(root: Path) -> None:
    """An MLflow run on sqlite for the sweep to stand under."""
    os.environ[tracking.URI] = f"sqlite:///{root}/mlflow.db"
    os.environ[spool.FOLDER] = str(root / "spool")
    tracking.start_run("overhead", "benchmark", (root / "artifacts").as_uri(), {})


def declare(count: int, first: int = 1) -> SweepConfig:
    """A sweep of that many learning rates."""
    return SweepConfig(
        title="overhead",
        chain=["tokenizer"],
        columns={"error": "tokenizer_scores_metrics:pa_mpjpe_mm"},
        members=[
            {"name": f"lr{i}", "overrides": {"tokenizer.training.lr": i * 1e-4}}
            for i in range(first, first + count)
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1, help="members side by side")
    given = parser.parse_args()
    machine = MachineConfig(accelerator="cpu", sweep_workers=given.workers)
    with tempfile.TemporaryDirectory() as folder:
        project = open_project(Path(folder))
        start_tracking(Path(folder))
        started = time.perf_counter()
        run_sweep("first", project, declare(1), machine)
        once = time.perf_counter() - started
        sweep = declare(given.members, first=2)
        started = time.perf_counter()
        plan = plan_sweep(project, sweep)
        run_sweep("second", project, sweep, machine)
        whole = time.perf_counter() - started
        records = [json.loads((u.folder / "done.json").read_text()) for u in plan.units.values()]
        nodes = sum(record["seconds"] for record in records) / given.workers
    each = (whole - nodes) / given.members
    print(f"a first sweep of one member, with all that happens once: {once:.1f} s")
    print(f"{given.members} members, {len(records)} stages: {whole:.1f} s, of nodes {nodes:.1f} s")
    verdict = "met" if each <= GOAL else "missed"
    print(f"beyond its training a member costs {each:.2f} s (goal {GOAL:g} s: {verdict})")


if __name__ == "__main__":
    main()
