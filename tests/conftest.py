"""Settings of every test: one thread, so that figures do not depend on the machine's cores."""

import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import pytest
import torch

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no process is left alone with one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def environment_is_put_back() -> Iterator[None]:
    """What a test writes into the environment, such as the MLflow run to log to, ends with it."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a small model that has learnt nothing: enough to run whatever takes one."""
    from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
    from hand_pipeline.methods.pymaf.config import PyMAFConfig
    from hand_pipeline.methods.pymaf.pymaf import PyMAF
    from hand_pipeline.models.vit import VitConfig
    from hand_pipeline.training.checkpoint import pack_method, save_checkpoint

    torch.manual_seed(0)
    configs = {
        "cfg": PyMAFConfig(pyramid_channels=8, regressor_width=32, pyramid_norm="group"),
        "vit": VitConfig(
            name="vit_tiny_patch16_224", image_size=32, patch_size=8, depth=2, embed_dim=32,
            num_heads=2,
        ),
        "augmentation": HandAugmentationConfig(image_size=32),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("untrained") / "model.safetensors"
    save_checkpoint(path, pack_method("pymaf", PyMAF(**configs).state_dict(), **configs))
    return path
