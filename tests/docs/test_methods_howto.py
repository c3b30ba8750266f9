"""The method that docs/methods_howto.md shows runs, and behaves as the text says."""

import math
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.models.vit_weights import load_into
from hand_pipeline.training.loop import TrainConfig, fit
from hand_pipeline.training.method import Method

TEXT = (Path(__file__).parents[2] / "docs" / "methods_howto.md").read_text()
TINY = VitConfig(image_size=32, patch_size=16, depth=1, embed_dim=48, num_heads=3)
CPU = MachineConfig(accelerator="cpu")


@pytest.fixture(scope="module")
def shown() -> ModuleType:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    module = ModuleType("rotnet")
    exec(compile(code, "methods_howto.md", "exec"), module.__dict__)
    return module


@pytest.fixture
def method(shown) -> Method:
    torch.manual_seed(0)
    return shown.RotNet(shown.RotNetConfig(), TINY, ViewConfig(image_size=32))


@pytest.fixture
def batch() -> ImageBatch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 32, 32), generator=generator, dtype=torch.uint8)
    images[:, :, :16] //= 4  # dark above, bright below: the turn can be seen
    return ImageBatch(tuple("abcdefgh"), images)


def test_loss_at_the_start_is_log_4(method, batch):
    assert method.losses(batch, 0)["turn"].item() == pytest.approx(math.log(4), abs=1e-6)


def test_it_overfits_one_batch_in_the_loop(method, batch):
    cfg = TrainConfig(steps=150, batch_size=8, lr=3e-3, log_every=10, checkpoint_every=10)
    records = list(fit(method, lambda step: iter([batch] * cfg.steps), cfg, CPU))
    assert records[-1].losses["turn"] < 0.1 * math.log(4)


def test_its_backbone_can_be_handed_on(method):
    other = build_vit(TINY)
    load_into(other.trunk, method.backbone_state(), "RotNet's backbone")


def test_files_named_in_the_text_exist():
    package = Path(__file__).parents[2] / "src" / "hand_pipeline"
    named = re.findall(r"`((?:training|methods|pipelines)/[\w/]+\.py)`", TEXT)
    assert named
    for name in named:
        assert (package / name).is_file(), name
