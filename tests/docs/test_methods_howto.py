"""The four steps of docs/methods_howto.md, carried out in a copy of the project."""

import io
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.loop import TrainConfig, fit
from hand_pipeline.training.method import Method

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "methods_howto.md").read_text()
BLOCK = r":\n\n```\w+\n(.*?)```"
FILES = dict(re.findall(r"^`([\w/.]+)`" + BLOCK, TEXT, re.DOTALL | re.MULTILINE))
LINES = re.findall(r"^`([\w/.]+)`, a new line of `(\w+)`" + BLOCK, TEXT, re.DOTALL | re.MULTILINE)
TINY = VitConfig(image_size=32, patch_size=16, depth=1, embed_dim=48, num_heads=3)
CPU = MachineConfig(accelerator="cpu")


def test_the_text_has_three_files_and_two_lines() -> None:
    assert list(FILES) == [
        "src/hand_pipeline/methods/rotnet.py", "src/hand_pipeline/pipelines/rotnet.py",
        "conf/base/parameters_rotnet.yml",
    ]  # fmt: skip
    assert [name for _, name, _ in LINES] == ["METHODS", "STAGES"]


# ---- step 1 alone: the method


@pytest.fixture(scope="module")
def shown() -> ModuleType:
    module = ModuleType("rotnet")
    code = FILES["src/hand_pipeline/methods/rotnet.py"]
    exec(compile(code, "methods_howto.md", "exec"), module.__dict__)
    return module


@pytest.fixture
def method(shown: ModuleType) -> Method:
    torch.manual_seed(0)
    made = shown.RotNet(shown.RotNetConfig(), TINY)
    assert isinstance(made, Method)
    return made


@pytest.fixture
def batch() -> ImageBatch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images[:, :, :16] //= 4  # dark above, bright below: the turn can be seen
    return ImageBatch(tuple("abcdefgh"), images)


def test_loss_at_the_start_is_log_4(method: Method, batch: ImageBatch) -> None:
    assert method.losses(batch, 0)["turn"].item() == pytest.approx(math.log(4), abs=1e-6)


def test_it_overfits_one_batch_in_the_loop(method: Method, batch: ImageBatch) -> None:
    cfg = TrainConfig(steps=150, batch_size=8, lr=3e-3, log_every=10, checkpoint_every=10)
    records = list(fit(method, lambda step: iter([batch] * cfg.steps), cfg, CPU))
    assert records[-1].losses["turn"] < 0.1 * math.log(4)


# ---- all four steps


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with RotNet in it, and a few crops."""
    root = tmp_path_factory.mktemp("project")
    for name in ("conf", "src/hand_pipeline"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    for name, text in FILES.items():
        assert not (root / name).exists()
        (root / name).write_text(text)
    for name, variable, line in LINES:
        before = (root / name).read_text()
        opening = re.search(rf"^{variable}\b.*?\(\n(?:    {{\n)?", before, re.DOTALL | re.MULTILINE)
        assert opening, f"no {variable} in {name}"
        after = before[: opening.end()] + line + before[opening.end() :]
        (root / name).write_text(after)
    with ShardWriter(root / "data/smoke/03_primary/hand_crops") as writer:
        for number in range(8):
            buffer = io.BytesIO()
            Image.linear_gradient("L").resize((64, 64)).save(buffer, "JPEG")
            writer.add(str(number), buffer.getvalue(), {})
    return root


def python(project: Path, *arguments: str) -> str:
    environment = {**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": str(project / "src")}
    result = subprocess.run(
        [sys.executable, *arguments],
        cwd=project, env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
def test_kedro_trains_it_and_its_checkpoint_is_rebuilt(project: Path) -> None:
    training = {"steps": 3, "batch_size": 4, "warmup_steps": 1, "log_every": 1}
    given = ",".join(f"rotnet.training.{name}={value}" for name, value in training.items())
    python(
        project, "-m", "kedro", "run", "--env", "smoke", "--pipelines", "rotnet", "--params", given
    )
    data = project / "data" / "smoke"
    history = (data / "08_reporting" / "rotnet_history.csv").read_text()
    assert history.splitlines()[0].startswith("step,")
    assert "loss.turn" in history
    assert (data / "08_reporting" / "rotnet_curves.png").is_file()
    checkpoint = data / "06_models" / "rotnet_method.safetensors"
    look = (
        "import sys; from hand_pipeline.methods import load_method; print(load_method(sys.argv[1]))"
    )
    assert python(project, "-c", look, str(checkpoint)).startswith("RotNet(")


@pytest.mark.slow
def test_dvcgen_makes_it_a_stage(project: Path) -> None:
    python(project, "-m", "hand_pipeline", "dvcgen")
    stage = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]["rotnet"]
    assert stage["cmd"].endswith("--pipelines rotnet")
    assert "data/03_primary/hand_crops" in stage["deps"]
    assert any("methods/rotnet" in dependency for dependency in stage["deps"])
    assert {"conf/base/parameters_rotnet.yml": ["rotnet"]} in stage["params"]


def test_files_named_in_the_text_exist() -> None:
    package = ROOT / "src" / "hand_pipeline"
    named = re.findall(r"`((?:training|viz|methods|pipelines)/[\w/]+\.py)`", TEXT)
    assert named
    for name in named:
        assert (package / name).is_file(), name
