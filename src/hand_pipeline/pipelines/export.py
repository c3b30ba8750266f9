"""Write what leaderboards take."""

import shutil
from pathlib import Path
from typing import Any

from kedro.pipeline import Node, Pipeline
from pydantic import Field, field_validator

from hand_pipeline.config import MachineConfig
from hand_pipeline.evaluation.leaderboard import (
    LeaderboardConfig,
    export_benchmark,
    find_benchmark,
)
from hand_pipeline.methods import restore_as
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint
from hand_pipeline.training.method import Reconstructor

_CATALOG = "labelled_hands"


class ExportConfig(LeaderboardConfig):
    """What is handed in, where."""

    checkpoint: Path | None = Field(
        None, description="any other model that reconstructs hands, in place of the catalog's"
    )
    benchmarks: dict[str, str] = Field(
        default_factory=dict,
        description="folder of each benchmark's data by its name (`leaderboard.BENCHMARKS`); "
        f"{_CATALOG!r} is the catalog's, in FreiHAND's layout",
    )

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            find_benchmark(name)
        return value


def export_submissions(
    hands: Path,
    trained: Checkpoint,
    cfg: ExportConfig,
    machine: MachineConfig,
) -> tuple[Path, dict[str, Any]]:
    """A sub-folder for each benchmark with what its leaderboard takes; hands and bytes of each."""
    folder = machine.workspace / "export" / "submission"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    origin = "the catalog's checkpoint"
    if cfg.checkpoint is not None:
        trained, origin = load_checkpoint(cfg.checkpoint), str(cfg.checkpoint)
    device = machine.device
    model = restore_as(Reconstructor, trained, origin).to(device)
    metrics: dict[str, Any] = {}
    for name, place in cfg.benchmarks.items():
        data = hands if place == _CATALOG else Path(place)
        exported = export_benchmark(
            name, model, data, folder / name, cfg, device, machine.num_workers
        )
        metrics[name] = {
            "hands": sum(part.hands for part in exported),
            "bytes": sum(part.num_bytes for part in exported),
            "complete": all(part.complete for part in exported),
        }
    return folder, metrics


def create_pipeline() -> Pipeline:
    """One model and evaluation photos in, submission files out.

    The model is HandMIM's: an input of a Kedro pipeline cannot be a parameter's choice, and to ask
    for all models would be to train all. Others go in by `export.checkpoint`.
    """
    return Pipeline(
        [
            Node(
                export_submissions,
                ["labelled_hands", "handmim_method", "params:export", "params:machine"],
                ["submission", "export_metrics"],
                name="export_submissions",
            )
        ]
    )
