"""Keys of runs change with everything that decides a result; one answer to what code that is."""

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.pose_set import Poses, PoseSet
from hand_pipeline.methods.maskhand.config import VqManoConfig
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.provenance import code_folders, code_hash, run_key
from hand_pipeline.training import run as training_run
from hand_pipeline.training.loop import TrainConfig

ROOT = Path(__file__).parents[1]
TOKENIZER = "hand_pipeline.pipelines.tokenizer"


def test_a_run_key_changes_with_every_part() -> None:
    key = run_key(stage="a", cfg={"lr": 1.0}, data="x")
    assert key == run_key(data="x", stage="a", cfg={"lr": 1.0})
    assert len({key, run_key(stage="b", cfg={"lr": 1.0}, data="x"),
                run_key(stage="a", cfg={"lr": 2.0}, data="x"),
                run_key(stage="a", cfg={"lr": 1.0}, data="y")}) == 4  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the package to edit."""
    ignored = shutil.ignore_patterns("__pycache__", "assets")
    shutil.copytree(ROOT / "src/hand_pipeline", tmp_path / "src/hand_pipeline", ignore=ignored)
    return tmp_path / "src"


def edit(source: Path, name: str) -> None:
    """Add a line to the first module of a folder of the package, or to a file of it."""
    path = source / "hand_pipeline" / name
    file = path if path.is_file() else min(path.glob("[a-z]*.py"))
    file.write_text(file.read_text() + "\nEDITED = True\n")
    code_hash.cache_clear()


def test_code_is_named_by_folders_and_a_paper_by_its_own(source: Path) -> None:
    folders = code_folders(TOKENIZER, source=source)
    assert folders == code_folders(TOKENIZER)
    expected = ["models", "training", "methods/maskhand", "data/readers", "pipelines/tokenizer.py"]
    assert {f"hand_pipeline/{part}" for part in expected} <= set(folders)
    papers = {f for f in folders if "/methods/" in f and not f.endswith(".py")}
    assert papers == {"hand_pipeline/methods/maskhand"}
    assert not {"hand_pipeline/viz", "hand_pipeline/tracking.py"} & set(folders)
    with pytest.raises(ModuleNotFoundError, match=r"no module hand_pipeline\.nothing"):
        code_folders("hand_pipeline.nothing", source=source)


def test_what_a_paper_imports_counts_also_where_only_its_configuration_is_named() -> None:
    assert "hand_pipeline/geometry" in code_folders("hand_pipeline.methods.s2hand.config")


@pytest.mark.parametrize(
    ("name", "counts"),
    [("methods/s2hand", False), ("methods/pymaf", False), ("viz", False), ("tracking.py", False),
     ("methods/maskhand", True), ("training", True), ("models", True)],
)  # fmt: skip
def test_a_sweep_and_a_running_checkpoint_ask_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, counts: bool
) -> None:
    monkeypatch.setattr(
        training_run, "code_hash", lambda *modules: code_hash(*modules, source=source)
    )
    machine, steps = MachineConfig(workspace=tmp_path), TrainConfig(steps=1, batch_size=1, lr=1)
    method = VqMano(VqManoConfig(num_tokens=16, num_codes=8, code_dim=4, width=8))
    poses = Poses(("flat",), torch.eye(3).repeat(1, 16, 1, 1), torch.zeros(1, 10))
    hands = PoseSet({"one": poses}, {"one": 1.0})

    def keys() -> tuple[str, Path]:
        checkpoint = training_run.running_checkpoint(machine, "tokenizer", steps, method, hands)
        return code_hash(TOKENIZER, source=source), checkpoint

    before = keys()
    edit(source, name)
    unit, checkpoint = keys()
    assert (unit != before[0], checkpoint != before[1]) == (counts, counts)


def test_a_class_from_elsewhere_counts_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_method.py").write_text("class Own: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("own_method")
    before = code_hash("hand_pipeline.training.loop", module.__name__)
    assert before != code_hash("hand_pipeline.training.loop")
    (tmp_path / "own_method.py").write_text("class Own:\n    better = True\n")
    code_hash.cache_clear()
    assert before != code_hash("hand_pipeline.training.loop", module.__name__)


@pytest.mark.slow
def test_dvc_finds_a_stage_stale_only_where_its_own_code_changed(
    source: Path, tmp_path: Path
) -> None:
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["tokenizer"]["deps"]
    stage = {"cmd": "true", "deps": [d for d in deps if d.startswith("src/")]}
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"tokenizer": stage}}))
    shutil.copy(ROOT / ".dvcignore", tmp_path)

    def dvc(*arguments: str) -> str:
        command = [str(Path(sys.executable).with_name("dvc")), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stale() -> bool:
        return bool(json.loads(dvc("status", "--json")))

    dvc("init", "--no-scm")
    shutil.copy(ROOT / ".dvcignore", tmp_path)
    dvc("repro", "--quiet")
    assert not stale()
    edit(source, "methods/s2hand")
    cached = source / "hand_pipeline/methods/maskhand/__pycache__"
    cached.mkdir()
    (cached / "vq_mano.cpython-311.pyc").touch()
    assert not stale()
    edit(source, "methods/maskhand")
    assert stale()
