"""A copy of the project to break things in, and processes that can be killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

Process = subprocess.Popen[bytes]

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0  # seconds for whatever is waited for


class Stage:
    """A temporary project in the smoke profile; its processes end with it.

    Attributes:
        root: the copy.
        data: the profile's data.
        failed: sentences of the checks that did not hold.
    """

    def __init__(self, root: Path):
        self.root, self.data = root, root / "data/smoke"
        self.failed: list[str] = []
        self._started: list[Process] = []
        for name in ("conf", "tests/photos", "src/hand_pipeline"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, root / name, ignore=ignored)
        shutil.copy(ROOT / "pyproject.toml", root)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started:
            kill(process)

    def start(self, log: str, *command: str, **environment: str) -> Process:
        """Start `python -m COMMAND` in the copy, as the head of a process group of its own."""
        variables = {"PYTHONPATH": str(self.root / "src"), "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
        with self.log(log).open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=self.root, stdout=out,
                stderr=subprocess.STDOUT, env=os.environ | variables | environment,
                start_new_session=True,
            )  # fmt: skip
        self._started.append(process)
        return process

    def kedro(self, pipeline: str, log: str, *parameters: str, **environment: str) -> Process:
        """Start `kedro run` of a pipeline."""
        more = ("--params", ",".join(parameters)) if parameters else ()
        command = ("kedro", "run", "--env", "smoke", "--pipelines", pipeline, *more)
        return self.start(log, *command, **environment)

    def log(self, name: str) -> Path:
        """What a process of this name said."""
        return self.root / f"{name}.log"

    def finish(self, process: Process, log: str) -> None:
        """Wait for the end of a process that must succeed."""
        if code := process.wait(PATIENCE):
            sys.exit(f"{log} ended with exit code {code}:\n{self.log(log).read_text()[-3000:]}")

    def wait_for(self, what: Callable[[], bool], process: Process, log: str) -> None:
        """Look until it is so, while the process runs."""
        end = time.monotonic() + PATIENCE
        while not what():
            if process.poll() is not None:
                sys.exit(f"{log} ended too early:\n{self.log(log).read_text()[-3000:]}")
            if time.monotonic() > end:
                sys.exit(f"waited {PATIENCE:.0f} s in vain for {log}")
            time.sleep(0.05)

    def said(self, log: str, words: str) -> list[str]:
        """Lines with these words."""
        return [line for line in self.log(log).read_text().splitlines() if words in line]

    def check(self, holds: bool, sentence: str) -> None:
        """Print a sentence and whether it holds."""
        say(f"  {'yes' if holds else 'NO '}  {sentence}")
        if not holds:
            self.failed.append(sentence)

    def verdict(self) -> int:
        """The exit code."""
        say(f"FAILED: {'; '.join(self.failed)}" if self.failed else "all checks hold")
        return 1 if self.failed else 0


def say(line: str) -> None:
    """Print at once: a process may be killed next."""
    print(line, flush=True)


def kill(process: Process) -> None:
    """Kill -9 for a process and all it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
