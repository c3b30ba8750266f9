"""Records kept on disk while the tracking server is away, to be sent later in their order."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hand_pipeline.files import atomic_write_text

FOLDER = "HAND_PIPELINE_SPOOL"
"""Variable that names the folder; child processes inherit it."""
OFFLINE = "offline-"
"""How the id of a run begins that the server does not know yet."""

Event = dict[str, Any]


@dataclass(frozen=True)
class Spool:
    """A folder with a file a run: one event a line, and copies of its files beside it."""

    folder: Path

    @classmethod
    def current(cls) -> "Spool | None":
        """The spool of this process, if it has one."""
        named = os.environ.get(FOLDER)
        return cls(Path(named)) if named else None

    def holds(self, run: str) -> bool:
        """Whether records of `run` wait here; those that follow must wait behind them."""
        return run.startswith(OFFLINE) or self.file(run).exists()

    def uploaded(self) -> dict[str, str]:
        """The server's id of each run that was begun here and has been sent."""
        names = self.folder / "uploaded.json"
        return json.loads(names.read_text()) if names.exists() else {}

    def remember(self, uploaded: dict[str, str]) -> None:
        """Note the server's ids, so that no run is made twice and what follows finds its run."""
        atomic_write_text(self.folder / "uploaded.json", json.dumps(uploaded))

    def name_of(self, run: str) -> str:
        """What to call a run now: by the server's id, once all of it has been sent."""
        if not run.startswith(OFFLINE) or self.file(run).exists():
            return run
        return self.uploaded().get(run, run)

    def file(self, run: str) -> Path:
        """Where a run's events are."""
        return self.folder / f"{run}.jsonl"

    def keep(self, run: str, event: Event) -> None:
        """Append an event, whole: several processes may log to one run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if event["do"] == "artifact":
            event = {**event, "path": str(self._copy(run, Path(event["path"])))}
        line = (json.dumps(event) + "\n").encode()
        descriptor = os.open(self.file(run), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _copy(self, run: str, path: Path) -> Path:
        """The file as it is now: a later run writes another in its place."""
        place = self.folder / f"{run}.files" / uuid.uuid4().hex / path.name
        place.parent.mkdir(parents=True)
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, place)
        return place

    def runs(self) -> list[str]:
        """Runs with waiting records, in the order they began."""
        began = {f.stem: _events(f)[0].get("time", 0) for f in self.folder.glob("*.jsonl")}
        return sorted(began, key=lambda run: (began[run], run))

    def events(self, run: str) -> Iterator[Event]:
        """A run's events in their order."""
        yield from _events(self.file(run))

    def forget(self, run: str) -> None:
        """Remove what has been sent."""
        self.file(run).unlink()
        shutil.rmtree(self.folder / f"{run}.files", ignore_errors=True)


def _events(file: Path) -> list[Event]:
    lines = file.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]  # what follows the last end is cut short
