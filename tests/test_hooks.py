"""A run's tags name the data it stands on, as DVC has them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from hand_pipeline.hooks import TrackingHook


def write(file: Path, stages: dict[str, Any]) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump({"stages": stages}))


@pytest.fixture
def hook(tmp_path: Path) -> TrackingHook:
    hook = TrackingHook()
    hook.root = tmp_path
    return hook


def test_a_stage_and_a_sweep_are_tagged_with_the_md5_of_the_data_they_read(
    hook: TrackingHook, tmp_path: Path
) -> None:
    write(tmp_path / "dvc.yaml", {"pretrain": {"deps": ["data/crops", "src/loop.py"]}})
    write(
        tmp_path / "dvc.lock",
        {
            "collect": {"outs": [{"path": "data/crops", "md5": "new"}]},
            "pretrain": {
                "deps": [{"path": "data/crops", "md5": "old"}]
            },  # before collect ran again
        },
    )
    assert hook._data_tags("pretrain") == {"dvc.data/crops": "new"}
    assert hook._data_tags("scalability") == {}
    write(tmp_path / "sweeps/dvc.yaml", {"scalability": {"deps": ["data/crops", "data/hands"]}})
    write(
        tmp_path / "sweeps/dvc.lock",
        {"scalability": {"deps": [{"path": "data/hands", "md5": "given"}]}},
    )
    assert hook._data_tags("scalability") == {
        "dvc.data/crops": "new",
        "dvc.data/hands": "given",
    }


def test_without_dvc_there_are_no_such_tags(hook: TrackingHook) -> None:
    assert hook._data_tags("pretrain") == {}
