"""Checkpoints: what comes in comes out, and what is broken or foreign is refused with a reason."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hand_pipeline.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
    tensors_hash,
)


def test_tied_weights_are_saved_twice_and_load_equal(tmp_path: Path) -> None:
    layer = nn.Linear(3, 3)
    tensors = {"a": layer.weight, "b": layer.weight}
    save_checkpoint(tmp_path / "x.safetensors", Checkpoint(tensors, {}))
    loaded = load_checkpoint(tmp_path / "x.safetensors").tensors
    assert torch.equal(loaded["a"], loaded["b"])


def test_a_truncated_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, Checkpoint({"a": torch.zeros(1000)}, {}))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


def test_foreign_weights_are_refused_with_the_way_to_use_them(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="set the backbone's `init`"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*absent"):
        load_checkpoint(tmp_path / "absent")


def test_the_hash_of_tensors_sees_one_changed_bit() -> None:
    tensors = {"a": torch.zeros(4), "b": torch.ones(2)}
    before = tensors_hash(tensors)
    tensors["a"][3] = 1e-30
    assert tensors_hash(tensors) != before
