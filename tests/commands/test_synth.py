from pathlib import Path

import pytest
from click.testing import CliRunner

from hand_pipeline.commands.synth import synth
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand


def test_synth_writes_a_set_that_can_be_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        synth,
        ["--out", str(tmp_path / "set"), "--count", "2", "--eval-count", "1", "--size", "48",
         "--workers", "1"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "2 training and 1 evaluation hands" in result.output
    assert len(read_hands("freihand", tmp_path / "set", "training", ManoHand())) == 2
    assert len(read_hands("freihand", tmp_path / "set", "evaluation", ManoHand())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--size", "7"], "image_size"),
        (["--backgrounds", "nowhere"], "not a folder"),
        (["--mano", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_synth_ends_with_one_clear_line(options: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        synth, ["--out", str(tmp_path / "set"), "--count", "1", "--workers", "1", *options]
    )
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
