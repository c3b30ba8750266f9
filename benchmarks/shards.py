"""Random reads of crops and their metadata: tar shards with an index against loose files.

The files are in the page cache, so this compares the cost of finding and opening, which is what
differs. Parsing the metadata costs both the same; the last pair shows how much that leaves.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hand_pipeline.data.shards.files import ShardReader, ShardWriter


def make_samples(folder: Path, count: int, image_bytes: int) -> tuple[Path, list[Path]]:
    """The same samples twice: as shards, and as one .jpg and one .json each."""
    generator = np.random.default_rng(0)
    loose = folder / "loose"
    loose.mkdir()
    stems = []
    with ShardWriter(folder / "shards") as writer:
        for number in range(count):
            image = generator.bytes(image_bytes)
            meta = {"landmarks_2d": generator.uniform(0, 256, (21, 2)).round(2).tolist(),
                    "landmarks_3d": generator.normal(0, 0.1, (21, 3)).round(5).tolist(),
                    "file": f"photos/{number}.jpg", "set": "benchmark"}  # fmt: skip
            writer.add(f"{number:08d}", image, meta)
            stems.append(loose / f"{number:08d}")
            stems[-1].with_suffix(".jpg").write_bytes(image)
            stems[-1].with_suffix(".json").write_text(json.dumps(meta, sort_keys=True))
    return folder / "shards", stems


def slurp(path: str) -> bytes:
    with open(path, "rb", buffering=0) as handle:
        return handle.read()


def reads_per_second(read: Callable[[int], object], order: np.ndarray) -> float:
    start = time.perf_counter()
    for index in order:
        read(int(index))
    return len(order) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--image-bytes", type=int, default=12_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    order = np.random.default_rng(1).permutation(arguments.count)
    with tempfile.TemporaryDirectory() as folder:
        shards, stems = make_samples(Path(folder), arguments.count, arguments.image_bytes)
        reader = ShardReader(shards)
        paths = [(f"{stem}.jpg", f"{stem}.json") for stem in stems]
        ways = {
            "shards, image": reader.image,
            "loose files, image": lambda i: slurp(paths[i][0]),
            "shards, image and metadata": reader.read,
            "loose files, image and metadata": lambda i: (
                slurp(paths[i][0]),
                json.loads(slurp(paths[i][1])),
            ),
        }
        rates = {
            name: max(reads_per_second(read, order) for _ in range(arguments.repeats))
            for name, read in ways.items()
        }
    for name, rate in rates.items():
        print(f"{name:32s} {rate:9.0f} reads/s")
    for what in ("image", "image and metadata"):
        ratio = rates[f"shards, {what}"] / rates[f"loose files, {what}"]
        wanted = " (wanted: >= 2)" if what == "image" else " (mostly the parsing of JSON)"
        print(f"shards / loose files, {what}: {ratio:.2f}{wanted}")


if __name__ == "__main__":
    main()
