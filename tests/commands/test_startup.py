"""What `predict` loads: the paper it runs and no other, and few files besides."""

import subprocess
import sys
from pathlib import Path

PHOTO = Path(__file__).parents[1] / "photos" / "000006.jpg"
MOST = 60
SCRIPT = """
import sys
from hand_pipeline.commands.main import main
main(sys.argv[1:], standalone_mode=False)
print("loaded", *sorted(sys.modules))
"""


def test_predict_loads_its_own_paper_and_few_files(untrained: Path, tmp_path: Path) -> None:
    arguments = ["predict", PHOTO, "--checkpoint", untrained, "--out", tmp_path / "out"]
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    assert "1 hands in 1 photos" in result.stdout
    loaded = result.stdout.splitlines()[-1].split()[1:]
    ours = [name for name in loaded if name.partition(".")[0] == "hand_pipeline"]
    assert len(ours) <= MOST, ours
    papers = {name.split(".")[2] for name in ours if name.startswith("hand_pipeline.methods.")}
    assert papers == {"pymaf"}
    # what only other commands and other photos need
    assert not {"pandas", "kornia", "av", "kedro", "mlflow"} & set(loaded)
