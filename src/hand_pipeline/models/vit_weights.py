"""Read ViT weights from a local file, and say precisely when they belong to another network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hand_pipeline.models.state import CheckpointMismatchError, load_strictly
from hand_pipeline.models.torchvision_compat import ensure_torchvision

ensure_torchvision()
from timm.layers.pos_embed import resample_abs_pos_embed  # noqa: E402 (torchvision must be mended first)

_CONTAINERS = ("model", "state_dict", "teacher")
_WRAPPERS = ("module.", "backbone.", "vit.", "trunk.", "encoder.")
_NOT_BACKBONE = ("head.", "head_dist.", "pre_logits.")


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` or a `torch.save` file, under timm's names.

    Containers (`model`, `state_dict`, `teacher`) and wrapper prefixes (`module.`, `backbone.`, ...)
    are taken off and classifier heads are left out. Pickled code is never run.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read as weights.
    """
    return _plain_names(read_weights(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a `.safetensors` or a `torch.save` file, out of their containers.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file cannot be read as weights.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no weights at {path}; give the path of a .safetensors or .pth file, "
            "'imagenet' (a download) or 'random'"
        )
    try:
        if path.suffix == ".safetensors":
            loaded: Any = safetensors.torch.load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, RuntimeError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged or not a weights file: {error}") from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise ValueError(
            f"{path} holds more than tensors, so it is not read (unpickling can run code); "
            "save only its state_dict, best as .safetensors"
        ) from error
    for container in _CONTAINERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(container), Mapping):
            loaded = loaded[container]
    if not isinstance(loaded, Mapping):
        raise ValueError(f"{path} should hold tensors by name, found a {type(loaded).__name__}")
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def _plain_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    stripping = True
    while stripping:
        stripping = False
        for prefix in _WRAPPERS:
            if any(name.startswith(f"{prefix}") for name in state) and not any(
                name.startswith("blocks.") for name in state
            ):
                state = {
                    n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)
                }
                stripping = True
    return {name: t for name, t in state.items() if not name.startswith(_NOT_BACKBONE)}


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy `state` into a timm VisionTransformer, strictly; only the image size may differ.

    Position embeddings of another grid are interpolated (bicubic, timm's `resample_abs_pos_embed`).

    Raises:
        CheckpointMismatchError: names or shapes differ; the message lists which, expected and came.
    """
    expected = network.state_dict()
    state = dict(state)
    position = state.get("pos_embed")
    if position is not None and position.shape[1] != expected["pos_embed"].shape[1]:
        state["pos_embed"] = _resized(network, position, origin)
    load_strictly(network, state, origin)


def _resized(network: Any, position: Tensor, origin: str) -> Tensor:
    """Position embeddings interpolated to this network's grid; both grids must be square."""
    prefix = 0 if network.no_embed_class else network.num_prefix_tokens
    cells = position.shape[1] - prefix
    if cells < 1 or round(cells**0.5) ** 2 != cells:
        raise CheckpointMismatchError(
            f"{origin}: pos_embed of shape {tuple(position.shape)} is not {prefix} prefix tokens "
            f"plus a square grid, as this model (grid {network.patch_embed.grid_size}) needs"
        )
    return resample_abs_pos_embed(
        position, network.patch_embed.grid_size, num_prefix_tokens=prefix, verbose=False
    )
