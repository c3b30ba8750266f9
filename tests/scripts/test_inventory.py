"""The inventory lists what there is; the measures count a small tree as a person would."""

from pathlib import Path

import pytest
from scripts import inventory
from scripts.measures import Place, Tree, argument_lists, folders

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    files = {
        "__init__.py": "",
        "config.py": "SIZE = 3\n",
        "models/__init__.py": "",
        "models/net.py": "from hand_pipeline.config import SIZE\n\ndef net(a, *, b): return SIZE\n",
        "methods/__init__.py": "",
        "methods/toy.py": (
            "from typing import TYPE_CHECKING\n"
            "from ..models.net import net\n"
            "if TYPE_CHECKING:\n    from hand_pipeline.unread import Other\n"
            "class Toy:\n    def losses(self, x, y, z): return net(x, b=y)\n"
            "def late():\n    from hand_pipeline import lazy\n    return lazy\n"
        ),
        "lazy.py": "",
        "unread.py": "Other = int\n",
    }
    for name, text in files.items():
        file = tmp_path / "src" / "hand_pipeline" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return Tree(tmp_path)


def test_files_and_lines_are_counted_by_folder(tree: Tree) -> None:
    assert list(folders(tree)) == [(".", 4, 2), ("methods", 2, 9), ("models", 2, 3)]


def test_self_is_no_argument_and_keywords_are(tree: Tree) -> None:
    assert argument_lists(tree)[:2] == [
        (3, "hand_pipeline.methods.toy.losses"), (2, "hand_pipeline.models.net.net"),
    ]  # fmt: skip


def test_imports_in_functions_and_for_types_do_not_run_at_once(tree: Tree) -> None:
    def names(lazy: bool) -> set[str]:
        return {m.removeprefix("hand_pipeline.") for m in tree.closure(TOY, lazy)}

    at_once = {"hand_pipeline", "methods", "methods.toy", "models", "models.net", "config"}
    assert names(lazy=False) == at_once
    assert names(lazy=True) == at_once | {"lazy", "unread"}


TOY = "hand_pipeline.methods.toy"


def test_a_reader_follows_the_names_that_a_definition_uses(tree: Tree) -> None:
    assert tree.reached(Place(TOY, "Toy")) == {
        TOY, "hand_pipeline.models.net", "hand_pipeline.config",
    }  # fmt: skip
    assert tree.reached(Place("hand_pipeline.config", "SIZE")) == {"hand_pipeline.config"}


def test_the_lists_hold_what_the_readme_promises() -> None:
    commands, source = list(inventory.commands()), ROOT / "src"
    assert "predict --method [handmim|supervised|maskhand|s2hand|lifter|mediapipe]" in commands
    assert "score --benchmark [freihand|ho3d_v2|ho3d_v3|dexycb|hint]" in commands
    assert {"handmim", "ibot", "peclr", "pymaf", "maskhand", "s2hand"} <= set(inventory.methods())
    assert any(line.startswith("rhd: training, evaluation") for line in inventory.data_sets(source))
    assert "benchmarks: dexycb" in list(inventory.scorers(source))
    assert "base report_page" in list(inventory.artefacts(ROOT))


def test_a_sweeps_members_are_listed_by_name() -> None:
    values = {"sweeps": {"a": {"members": [{"name": "x", "set": {"lr": 1}}], "seeds": [0, 1]}}}
    assert list(inventory._leaves(values)) == [
        "sweeps.a.members.x.name", "sweeps.a.members.x.set.lr", "sweeps.a.seeds",
    ]  # fmt: skip


def test_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["inventory", "--root", str(tmp_path)])
    with pytest.raises(SystemExit):
        inventory.main()
