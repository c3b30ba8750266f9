"""The rooms that docs/architecture.md names are there, and none is left out."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text()


def test_every_room_is_described() -> None:
    table = re.search(r"\| room \|.*?\n\n", TEXT, re.DOTALL)
    assert table
    for room in (ROOT / "src" / "hand_pipeline").iterdir():
        if room.is_dir() and any(room.glob("*.py")) and room.name != "assets":
            assert f"`{room.name}/`" in table[0], room.name


def test_files_and_functions_named_in_the_text_exist() -> None:
    package = ROOT / "src" / "hand_pipeline"
    for name in re.findall(r"`((?:\w+/)+\w+\.py)`", TEXT):
        assert (package / name).is_file(), name
    source = "\n".join(file.read_text() for file in package.rglob("*.py"))
    for name in (
        "open_crops",
        "open_hands",
        "predict_set",
        "score_models",
        "restore_method",
    ):
        assert name in TEXT
        assert f"def {name}(" in source, name
