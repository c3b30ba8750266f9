"""The papers, a folder each: their names, and how a checkpoint becomes a method again."""

import importlib
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from hand_pipeline.training.method import Method

M = TypeVar("M", bound=Method)


METHODS: Mapping[str, str] = MappingProxyType(
    {
        "handmim": "self_distillation.handmim:HandMIM",
        "ibot": "self_distillation.ibot:Ibot",
        "keypoint_probe": "keypoint_probe:KeypointProbe",
        "maskhand": "maskhand.maskhand:MaskHand",
        "maskhand_text": "maskhand.text:TextMaskHand",
        "peclr": "peclr.peclr:PeCLR",
        "pymaf": "pymaf.pymaf:PyMAF",
        "s2hand": "s2hand.s2hand:S2Hand",
        "vq_mano": "maskhand.vq_mano:VqMano",
    }
)
"""Module and class of every method, by the name it has in configurations and checkpoints. As text,
so that a run loads the paper it needs and no other."""


def method_class(name: str) -> type[Method]:
    """Load the class of a key of `METHODS`.

    Raises:
        KeyError: there is no method of that name.
    """
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


def restore_method(checkpoint: Checkpoint, origin: str = "the checkpoint") -> Method:
    """Rebuild a trained method, in evaluation mode.

    Raises:
        CheckpointError: it holds no method, or one that is not known.
        CheckpointMismatchError: its weights do not fit its configuration.
    """
    name = checkpoint.metadata.get("method")
    if name not in METHODS:
        raise CheckpointError(f"{origin} holds {name!r}; known methods: {', '.join(METHODS)}")
    kind = method_class(name)
    hints = typing.get_type_hints(kind.__init__)
    configs: dict[str, Any] = {}
    for parameter in inspect.signature(kind).parameters:
        values = _without_starting_weights(checkpoint.metadata["configs"][parameter])
        configs[parameter] = hints[parameter](**values)
    method = kind(**configs)
    load_strictly(method, checkpoint.tensors, origin)
    return method.eval()


def restore_as(kind: type[M], checkpoint: Checkpoint, origin: str) -> M:
    """`restore_method` where only one method will do.

    Raises:
        TypeError: the checkpoint holds another one.
    """
    method = restore_method(checkpoint, origin)
    if not isinstance(method, kind):
        raise TypeError(f"{origin} holds no {kind.__name__}: {type(method).__name__}")
    return method


def _without_starting_weights(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration with every backbone at random: all weights come from a checkpoint."""
    changed = dict(values)
    for key, value in values.items():
        if key == "init":
            changed[key] = "random"
        elif isinstance(value, Mapping):
            changed[key] = _without_starting_weights(value)
    return changed


def load_method(path: Path | str) -> Method:
    """Read a checkpoint file and rebuild its method, in evaluation mode."""
    return restore_method(load_checkpoint(path), str(path))
