"""The papers, one folder each: their registry, and how a checkpoint is restored to a method."""

import importlib
import inspect
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from hand_pipeline.config import ANY, Config
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from hand_pipeline.training.method import Method

M = TypeVar("M", bound=Method)

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "handmim": "self_distillation.handmim:HandMIM",
        "ibot": "self_distillation.ibot:Ibot",
        "keypoint_probe": "keypoint_probe:KeypointProbe",
        "lifter": "lifter:Lifter",
        "maskhand": "maskhand.maskhand:MaskHand",
        "maskhand_text": "maskhand.text:TextMaskHand",
        "mediapipe": "mediapipe:MediaPipe",
        "peclr": "peclr.peclr:PeCLR",
        "pymaf": "pymaf.pymaf:PyMAF",
        "s2hand": "s2hand.s2hand:S2Hand",
        "vq_mano": "maskhand.vq_mano:VqMano",
    }
)
"""Module and class of every method, by its name in configurations and checkpoints. As text, so that
a run imports only the paper it needs."""

TITLES: Mapping[str, str] = MappingProxyType(
    {"handmim": "HandMIM", "ibot": "iBOT", "peclr": "PeCLR"}
)
"""What tables call a pretraining; another is called by its name."""


def title_of(checkpoint: Checkpoint) -> str:
    """What a table calls a fine-tuned model: by what it really started from."""
    if "pretrained_by" not in checkpoint.metadata:
        return "fine-tuned; from what, is not recorded"
    name = checkpoint.metadata["pretrained_by"]
    if name is not None:
        return f"{TITLES.get(name, name)}, then fine-tuned"
    init = checkpoint.metadata["configs"]["vit"]["init"]
    return "supervised, from " + {"random": "scratch", "imagenet": "ImageNet"}.get(init, init)


def method_class(name: str) -> type[Method]:
    """Import the class of a key of `METHODS`.

    Raises:
        ValueError: there is no method of that name.
    """
    if name not in METHODS:
        raise ValueError(f"unknown method {name!r}; known methods: {', '.join(METHODS)}")
    module, _, attribute = METHODS[name].partition(":")
    found: type[Method] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found


def config_class(name: str) -> type[Config]:
    """The class of a method's own configuration: its constructor's argument `cfg`.

    Raises:
        ValueError: there is no method of that name.
    """
    kind = typing.get_type_hints(method_class(name).__init__)["cfg"]
    assert issubclass(kind, Config)  # of every method
    return kind


def untrained_method(name: str) -> Method:
    """A method that has nothing to train, with its default configuration, in evaluation mode."""
    return method_class(name)(config_class(name)()).eval()


def restore_method(checkpoint: Checkpoint, origin: str = "the checkpoint") -> Method:
    """Rebuild a trained method, in evaluation mode.

    Raises:
        CheckpointError: it holds no method, an unknown one, or a removed option's other value.
        CheckpointMismatchError: its weights do not fit its configuration.
    """
    name: Any = checkpoint.metadata.get("method")
    if name not in METHODS:
        raise CheckpointError(f"{origin} holds {name!r}; known methods: {', '.join(METHODS)}")
    kind = method_class(name)
    hints = typing.get_type_hints(kind.__init__)
    stored = checkpoint.metadata["configs"]
    configs: dict[str, Any] = {}
    for parameter in inspect.signature(kind).parameters:
        configs[parameter] = hints[parameter](
            **_as_now(hints[parameter], stored[parameter], origin)
        )
    method = kind(**configs)
    load_strictly(method, checkpoint.tensors, origin)
    return method.eval()


def restore_as(kind: type[M], checkpoint: Checkpoint, origin: str) -> M:
    """`restore_method` for a checkpoint that must hold a `kind`.

    Raises:
        TypeError: the checkpoint holds another method.
    """
    method = restore_method(checkpoint, origin)
    if not isinstance(method, kind):
        raise TypeError(f"{origin} holds {type(method).__name__}, expected {kind.__name__}")
    return method


def restore_each(kind: type[M], **checkpoints: Checkpoint) -> Iterator[tuple[str, M]]:
    """`restore_as` for several checkpoints by name, each when it is asked for.

    Raises:
        TypeError: a checkpoint holds another method.
    """
    for name, checkpoint in checkpoints.items():
        yield name, restore_as(kind, checkpoint, f"the checkpoint of {name}")


def _as_now(kind: type[Config], values: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """A stored configuration without removed options, and with random backbone initialisation,
    because all weights come from the checkpoint.

    Raises:
        CheckpointError: a removed option has a value that is no longer supported.
    """
    now: dict[str, Any] = {}
    for key, value in values.items():
        field = kind.model_fields.get(key)
        if field is None and key in kind.retired:
            if kind.retired[key] not in (ANY, value):
                raise CheckpointError(
                    f"{origin} was trained with {key} {value!r}, a removed option: only "
                    f"{kind.retired[key]!r} is supported now (docs/deviations.md). Use the version "
                    "that wrote it"
                )
        elif key == "init":
            now[key] = "random"
        elif field is not None and isinstance(value, Mapping):
            choices = (field.annotation, *typing.get_args(field.annotation))
            inner = [c for c in choices if isinstance(c, type) and issubclass(c, Config)]
            now[key] = _as_now(inner[0], value, origin) if inner else value
        else:
            now[key] = value
    return now


def load_method(path: Path | str) -> Method:
    """Read a checkpoint file and rebuild its method, in evaluation mode."""
    return restore_method(load_checkpoint(path), str(path))
