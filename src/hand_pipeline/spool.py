"""Records on disk until the tracking server has them: a file per run, a record per line."""

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

FOLDER = "HAND_PIPELINE_SPOOL"
"""Variable that names the folder; child processes inherit it."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Spool:
    """A folder with a file for each run that has unsent records, and copies of its artifacts."""

    folder: Path

    def file(self, run: str) -> Path:
        """File of a run's events."""
        return self.folder / f"{run}.jsonl"

    @contextlib.contextmanager
    def alone(self, run: str) -> Iterator[IO[bytes]]:
        """Open a run's file, locked against other processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            with self.file(run).open("ab+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink:  # else removed while waiting for the lock
                    yield file
                    return

    def add(self, run: str, *events: Event) -> None:
        """Append events; artifacts are copied, because a later run may overwrite them."""
        with self.alone(run) as file:
            kept = [self._copied(run, e) if e["do"] == "artifact" else e for e in events]
            lines = b"".join(json.dumps(event).encode() + b"\n" for event in kept)
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                lines = lines if file.read() == b"\n" else b"\n" + lines  # its writer was killed
            file.write(lines)

    def _copied(self, run: str, event: Event) -> Event:
        path = Path(event["path"])
        place = Path(f"{run}.files", uuid.uuid4().hex, path.name)
        (self.folder / place.parent).mkdir(parents=True)
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, self.folder / place)
        return {**event, "path": str(place)}

    def events(self, run: str) -> list[Event]:
        """A run's events in order."""
        found = []
        if self.file(run).exists():
            for line in self.file(run).read_bytes().splitlines():
                with contextlib.suppress(ValueError):  # cut short: its writer was killed
                    found.append(json.loads(line))
        return found

    def forget(self, run: str) -> None:
        """Remove what has been sent; call inside `alone`."""
        shutil.rmtree(self.folder / f"{run}.files", ignore_errors=True)
        self.file(run).unlink()

    def runs(self, above: str = "") -> list[str]:
        """Runs with waiting records, oldest first.

        Args:
            above: only this run and its child runs, whose ids begin with its own.
        """
        found = {file.stem: self.events(file.stem) for file in self.folder.glob(f"{above}*.jsonl")}
        began = {run: events[0].get("time", 0) for run, events in found.items() if events}
        return sorted(began, key=lambda run: (began[run], run))

    def rest(self, seconds: float) -> None:
        """Keep all processes from trying the server for that long: it is unreachable."""
        until = self.folder / "away"
        until.touch()
        os.utime(until, (time.time() + seconds,) * 2)

    @property
    def resting(self) -> bool:
        """Whether `rest` still holds."""
        until = self.folder / "away"
        return until.exists() and time.time() < until.stat().st_mtime
