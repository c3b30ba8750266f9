"""A small project with two pipelines: numbers in place of trainings."""

import importlib
import multiprocessing
import sys
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps import project as project_module
from hand_pipeline.sweeps.declaration import SweepConfig
from hand_pipeline.sweeps.project import Project
from hand_pipeline.sweeps.workers import SERVER_MODULES

NODES = """
import os
import signal
import time
from pathlib import Path

from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.loop import Record


class PrepareConfig(Config):
    size: int = Field(4, gt=0)
    seed: int = 0


class LearnConfig(Config):
    lr: float = Field(0.1, gt=0)
    seed: int = 0
    ends: str = "well"
    seconds: float = 0.0


def prepare(raw: str, cfg: PrepareConfig) -> dict[str, float]:
    return {"numbers": {"size": cfg.size, "seed": cfg.seed, "letters": len(raw)}}


def learn(prepared: dict, cfg: LearnConfig, machine: MachineConfig) -> dict[str, float]:
    if cfg.ends == "in an error":
        raise FloatingPointError("loss term 'pose' is nan at step 3")
    if cfg.ends == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    print("a bar of learn")
    time.sleep(cfg.seconds)
    log = RecordLogger("learn")
    for step in range(3):
        log(Record(step, prepared["numbers"]["size"] * cfg.lr, {}))
    log.flush()
    error = prepared["numbers"]["size"] * cfg.lr + cfg.seed
    return {"error": float("nan") if cfg.ends == "in nan" else error, "loss.total": 1.0}


def score_as(metric: str):
    def score(learnt: dict) -> dict[str, float]:
        return {metric: 1.0}

    return score  # as no pickle can carry it: units find their nodes by name
"""
PIPELINE = """
from kedro.pipeline import Node, Pipeline

from toy_project.nodes import learn, prepare, score_as


def create_pipeline():
    return Pipeline([Node({node})])
"""


@pytest.fixture(scope="session")
def server_of_processes() -> None:
    """One for all tests, with what sweeps need: to import that takes seconds.

    Its processes take path and environment from whoever starts them.
    """
    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # another test's knows no sweeps
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(SERVER_MODULES)
    forkserver.ensure_running()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server_of_processes: None) -> Project:
    package = tmp_path / "src/toy_project"
    for name, node in {
        "prepare": 'prepare, ["raw", "params:prepare"], "prepare_metrics", name="prepare"',
        "learn": 'learn, ["prepare_metrics", "params:learn", "params:machine"], '
        '"learn_metrics", name="learn"',
        "score": 'score_as("x"), "learn_metrics", "score_metrics", name="score"',
    }.items():
        (package / "pipelines" / name).mkdir(parents=True)
        text = PIPELINE.replace("{node}", node)
        (package / "pipelines" / name / "__init__.py").write_text(text)
    (package / "__init__.py").touch()
    (package / "pipelines/__init__.py").touch()
    (package / "nodes.py").write_text(NODES)
    monkeypatch.syspath_prepend(tmp_path / "src")
    monkeypatch.setattr(project_module, "PIPELINES", "toy_project.pipelines")
    for name in [n for n in sys.modules if n.startswith("toy_project")]:
        monkeypatch.delitem(sys.modules, name)
    importlib.invalidate_caches()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/raw.txt").write_text("abc")
    return Project(
        root=tmp_path,
        data=tmp_path / "data",
        env="test",
        parameters={"prepare": {"size": 4}, "learn": {"lr": 0.1}, "machine": {}},
        catalog={
            "raw": {"type": "text.TextDataset", "filepath": str(tmp_path / "data/raw.txt")},
            "{name}_metrics": {
                "type": "json.JSONDataset",
                "filepath": str(tmp_path / "data/{name}_metrics.json"),
            },
        },
    )


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(accelerator="cpu", workspace=tmp_path / "work")


@pytest.fixture
def sweep() -> Callable[..., SweepConfig]:
    def make(*members: dict[str, Any], **changed: Any) -> SweepConfig:
        declared = {
            "title": "learning",
            "chain": ["prepare", "learn"],
            "columns": {"error": "learn_metrics:error", "size": "prepare_metrics:numbers.size"},
            "members": list(members),
        }
        return SweepConfig(**declared | changed)

    return make


def work(project: Project, node: str) -> dict[str, int]:
    """When each finished piece of a node's work was written, by its key."""
    found = (project.sweeps / "work" / node).glob("*/done.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in found}
