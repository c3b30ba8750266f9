"""Checkpoints: tensors in safetensors, all else as JSON in its header. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.files import atomic_write

_HEADER = "hand_pipeline"


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another kind; the message says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and what is needed to rebuild the object they belong to.

    Attributes:
        tensors: on the CPU.
        metadata: JSON-serialisable; for a finished method: `method`, `configs`, `training` (the
            loop's settings) and `data` (fingerprint of what it learnt from).
    """

    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(path: Path | str, checkpoint: Checkpoint) -> None:
    """Write `checkpoint` to `path`, whole or not at all."""
    seen: set[tuple[int, torch.Size]] = set()
    tensors = {}
    for name, tensor in checkpoint.tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        place = (tensor.untyped_storage().data_ptr(), tensor.size())
        tensors[name] = tensor.clone() if place in seen else tensor  # tied weights share memory
        seen.add(place)
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata={_HEADER: json.dumps(checkpoint.metadata)})


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint written by `save_checkpoint`.

    Raises:
        CheckpointError: the file is missing, damaged, or not written by `save_checkpoint`.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"no checkpoint at {path}; train one first or give another path")
    try:
        with safe_open(path, framework="pt") as handle:
            header = (handle.metadata() or {}).get(_HEADER)
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); "
            "it is truncated or of another format: delete it and run the stage again"
        ) from error
    if header is None:
        raise CheckpointError(
            f"{path} holds weights but not the hand_pipeline metadata that says what they are; "
            "to start from foreign backbone weights, set the backbone's `init` to this path"
        )
    return Checkpoint(tensors, json.loads(header))


def pack_method(name: str, tensors: Mapping[str, Tensor], **configs: Config) -> Checkpoint:
    """A trained method as a checkpoint that `methods.restore_method` can rebuild.

    Args:
        name: key of `methods.METHODS`.
        tensors: the method's state.
        configs: its constructor's arguments.
    """
    plain = {key: config.model_dump(mode="json") for key, config in configs.items()}
    return Checkpoint(dict(tensors), {"method": name, "configs": plain})


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
