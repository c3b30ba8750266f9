"""How far the goldens are apart between instruction sets: `python -m tests.golden.spread`.

All goldens, or those named: `python -m tests.golden.spread maskhand peclr`.
One process for each setting, since torch chooses its kernels as it starts. A column holds the
largest distance (`golden.distance`) of any line from the first setting's.
"""

import itertools
import os
import pickle
import subprocess
import sys

import torch
from tests.golden.golden import Line, distance, first_lines
from tests.golden.methods import METHODS, start

CAPABILITIES, LIBRARIES, THREADS = ("default", "avx2", ""), ("SSE41", "AVX2", ""), ("1", "2")


def main(names: list[str]) -> None:
    """Print a table, a row for each setting."""
    first: dict[str, list[Line]] = {}
    for capability, library, threads in itertools.product(CAPABILITIES, LIBRARIES, THREADS):
        found = _lines(
            {
                "ATEN_CPU_CAPABILITY": capability,
                "ONEDNN_MAX_CPU_ISA": library,
                "OMP_NUM_THREADS": threads,
            },
            names,
        )
        if not first:
            first = found
            print(f"{'ATen':8}{'oneDNN':8}{'threads':8}", *(f"{name:>15}" for name in found))
        row = f"{capability or 'unset':8}{library or 'unset':8}{threads:8}"
        apart = [max(map(distance, lines, first[name])) for name, lines in found.items()]
        print(row, *(f"{size:15.1e}" for size in apart), flush=True)


def _lines(setting: dict[str, str], names: list[str]) -> dict[str, list[Line]]:
    """What the methods' first steps are in a process of its own; empty means unset."""
    environment = {k: v for k, v in os.environ.items() if k not in setting}
    out = subprocess.run(
        [sys.executable, "-m", "tests.golden.spread", "--here", *names],
        env=environment | {name: value for name, value in setting.items() if value},
        check=True,
        stdout=subprocess.PIPE,
    )
    return pickle.loads(out.stdout)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        found = {name: first_lines(*start(name)) for name in sys.argv[2:]}
        sys.stdout.buffer.write(pickle.dumps(found))
    else:
        main(sys.argv[1:] or list(METHODS))
