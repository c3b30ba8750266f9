"""Synthetic pictures a second, with labels, encoding and writing.

Usage: python benchmarks/synthetic.py [--count 400] [--sizes 224 128] [--workers 2]
Prints one table and one line of JSON; exit status 1 if 224 px falls below 20 pictures a second. The
workers' start (loading torch and the compiled kernels) is measured apart, by a run of one block
each, because it does not grow with the number of pictures.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.data.synthetic.hands import generate
from hand_pipeline.data.synthetic.write import BLOCK

GOAL = 20.0


def seconds(count: int, size: int, workers: int) -> tuple[float, float]:
    """Wall seconds, and processor seconds of the workers, which other jobs hardly change."""
    config = SyntheticConfig(num_training=count, num_evaluation=0, image_size=size)
    with tempfile.TemporaryDirectory() as folder:
        began, used = time.perf_counter(), _used()
        generate(config, Path(folder) / "set", workers)
        return time.perf_counter() - began, _used() - used


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 128])
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    seconds(BLOCK * arguments.workers, 64, arguments.workers)  # compiles, where not yet done
    print(f"{'side':<8}{'images/s':>12}{'with start':>12}{'start s':>10}{'cpu ms/image':>14}")
    results = {}
    for size in arguments.sizes:
        few, many = BLOCK * arguments.workers, arguments.count
        (short, short_cpu), (long, long_cpu) = (
            seconds(n, size, arguments.workers) for n in (few, many)
        )
        cpu = (long_cpu - short_cpu) / (many - few) * 1e3
        steady = (many - few) / (long - short)
        results[str(size)] = {"images_per_second": round(steady, 1),
                              "with_start": round(many / long, 1),
                              "cpu_ms_per_image": round(cpu, 1)}  # fmt: skip
        print(f"{size:<8}{steady:>12.1f}{many / long:>12.1f}{short - few / steady:>10.1f}"
              f"{cpu:>14.1f}")  # fmt: skip
    print(json.dumps({"workers": arguments.workers, "count": arguments.count, **results}))
    return int(any(r["with_start"] < GOAL for s, r in results.items() if s == "224"))


if __name__ == "__main__":
    sys.exit(main())
