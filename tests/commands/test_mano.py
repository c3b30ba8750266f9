import pickle
from pathlib import Path

import numpy as np
from click.testing import CliRunner

import hand_pipeline
from hand_pipeline.commands.mano import mano
from hand_pipeline.geometry.mano_file import load_mano

OPEN_HAND = Path(hand_pipeline.__file__).parent / "assets/open_hand/openhand_right.npz"


def official(path: Path) -> Path:
    with np.load(OPEN_HAND, allow_pickle=False) as archive:
        content = {name: archive[name] for name in archive.files if archive[name].ndim}
    path.write_bytes(pickle.dumps(content, protocol=2))
    return path


def test_convert_writes_a_model_that_loads(tmp_path: Path) -> None:
    source, target = official(tmp_path / "MANO_RIGHT.pkl"), tmp_path / "out.npz"
    result = CliRunner().invoke(mano, ["convert", str(source), "--out", str(target)])
    assert result.exit_code == 0, result.output
    assert result.output == f"Wrote {target}, a right hand.\n"
    assert load_mano(target).side() == "right"


def test_convert_ends_with_one_clear_message(tmp_path: Path) -> None:
    missing = CliRunner().invoke(mano, ["convert", str(tmp_path / "MANO_RIGHT.pkl")])
    assert missing.exit_code == 1
    assert missing.output.startswith("Error: no file")
    wrong = tmp_path / "wrong.pkl"
    wrong.write_bytes(b"not a pickle")
    result = CliRunner().invoke(mano, ["convert", str(wrong)])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert "Traceback" not in result.output


def test_help_says_where_models_come_from() -> None:
    result = CliRunner().invoke(mano, ["--help"])
    assert "https://mano.is.tue.mpg.de" in result.output
