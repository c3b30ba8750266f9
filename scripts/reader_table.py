"""How exactly every reader gives back what its fixture writer wrote, one row a split.

python -m scripts.reader_table [--count 4]
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd
from tests.fixtures.round_trip import round_trip

from hand_pipeline.data.readers.hand_sets import HAND_SETS


def main() -> None:
    """Write, read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4, help="hands written a split")
    count = parser.parse_args().count
    rows = []
    for name, known in HAND_SETS.items():
        for split in known.splits:
            with tempfile.TemporaryDirectory() as folder:
                found = round_trip(name, split, Path(folder), count)
            rows.append(
                {
                    "set": name,
                    "reader": f"read_{known.module}",
                    "fixture": f"write_{known.module} {split}",
                    **found._asdict(),
                }
            )
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.1e}", na_rep="-"))
    largest = table.iloc[:, 4:].max()
    print("largest: " + ", ".join(f"{name} {value:.1e}" for name, value in largest.items()))


if __name__ == "__main__":
    main()
