"""A run killed in the middle goes on where it stopped and ends with the same metrics."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hand_pipeline.training.checkpoint import load_checkpoint

pytestmark = pytest.mark.slow

STEPS = 24
LONGER = f"pretrain.training.steps={STEPS},pretrain.training.checkpoint_every=2"


def parameters(workspace: str) -> tuple[str, ...]:
    return "--pipelines", "pretrain", "--params", f"{LONGER},machine.workspace={workspace}"


def metrics(project: Path) -> dict[str, float]:
    return json.loads((project / "data/smoke/08_reporting/pretrain_metrics.json").read_text())


def kill_in_the_middle(project: Path, workspace: str) -> int:
    """Start a run, kill -9 it once it has written a checkpoint, and say at which step that was."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kedro", "run", "--env", "smoke", *parameters(workspace)],
        cwd=project,
        env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": str(project / "src")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (found := list((project / workspace).glob("pretrain/[!.]*.safetensors"))):
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return load_checkpoint(found[0]).metadata["step"]


def test_killed_and_run_again_equals_never_killed(
    project: Path, kedro_run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    assert kedro_run("--pipelines", "collect").returncode == 0
    assert kedro_run(*parameters("work/whole")).returncode == 0
    expected = metrics(project)
    assert 0 < kill_in_the_middle(project, "work/killed") < STEPS
    again = kedro_run(*parameters("work/killed"))
    assert again.returncode == 0, again.stdout[-2000:] + again.stderr[-2000:]
    assert metrics(project) == expected
