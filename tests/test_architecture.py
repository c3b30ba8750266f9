"""The import rules hold: layers point downwards, the domain library knows no orchestrator."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_import_contracts_are_kept() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([str(lint_imports)], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
def test_a_pipeline_that_trains_is_loaded_without_fabric() -> None:
    look = "import sys, hand_pipeline.pipelines.pretrain; print(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = result.stdout.split()
    assert "hand_pipeline.training.loop" in loaded
    assert not {"lightning_fabric", "torchmetrics", "mlflow"} & set(loaded)


def test_the_hooks_of_every_kedro_run_load_no_torch_and_no_mlflow() -> None:
    look = (
        "import sys, hand_pipeline.hooks\n"
        "print([n for n in ('torch', 'lightning_fabric', 'mlflow', 'optuna') if n in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_hand_is_fitted_without_torch_s_compiler() -> None:
    """Two seconds in which somebody waits for the hand in a photo."""
    look = (
        "import sys, torch, hand_pipeline.commands.predict\n"
        "from hand_pipeline.geometry.hand_fit import REFINEMENT, Landmarks, fit_hands\n"
        "from hand_pipeline.geometry.mano import ManoHand\n"
        "seen = Landmarks(torch.rand(1, 21, 2), torch.ones(1, 21), torch.rand(1, 21, 3))\n"
        "fit_hands(ManoHand(), seen, torch.eye(3)[None], REFINEMENT)\n"
        "print('torch' in sys.modules, 'torch._dynamo' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["True", "False"]


MOST_ARGUMENTS = 7


def test_no_function_takes_more_than_seven_arguments() -> None:
    found = {}
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = node.args
                names = [a.arg for a in [*given.posonlyargs, *given.args, *given.kwonlyargs]]
                count = len(names) - (names[:1] in (["self"], ["cls"]))
                if count > MOST_ARGUMENTS:
                    place = file.relative_to(ROOT / "src/hand_pipeline").as_posix()
                    found[f"{place}:{node.name}"] = count
    assert not found
