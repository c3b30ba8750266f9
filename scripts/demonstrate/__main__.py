"""Command line of the demonstrations."""

import argparse
import sys
import tempfile
from pathlib import Path

from scripts import demonstrate
from scripts.demonstrate import server, sweep, workers
from scripts.demonstrate.stage import Stage

DEMONSTRATIONS = {
    "killed-sweep": sweep.killed_sweep,
    "killed-worker": workers.killed_worker,
    "unreachable-server": server.unreachable_server,
}


def main() -> int:
    """Run one demonstration; 1 where a check failed."""
    parser = argparse.ArgumentParser(
        description=demonstrate.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=DEMONSTRATIONS)
    what = parser.parse_args().what
    if what == "killed-worker" and not workers.has_database():
        return workers.beside_a_database()
    with tempfile.TemporaryDirectory() as folder, Stage(Path(folder) / "project") as stage:
        DEMONSTRATIONS[what](stage)
        return stage.verdict()


if __name__ == "__main__":
    sys.exit(main())
