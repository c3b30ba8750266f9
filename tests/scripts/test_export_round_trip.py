"""What the round trip prints: the same scores in process and from each benchmark's file."""

from pathlib import Path

import pytest
from scripts.export_round_trip import compare, report

from hand_pipeline.evaluation.leaderboard import BENCHMARKS
from hand_pipeline.methods import load_method

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_file_scores_as_the_arrays_it_was_written_from(
    name: str, untrained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compare(name, load_method(untrained), 4, tmp_path, "cpu")
    assert [row.part.split for row in found] == list(BENCHMARKS[name].splits)
    assert all(row.part.hands >= 4 for row in found)
    assert report(found)
    assert "all agree" in capsys.readouterr().out
