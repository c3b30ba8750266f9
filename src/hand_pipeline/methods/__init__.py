"""The papers, one file each."""

import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from hand_pipeline.config import Config
from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from hand_pipeline.training.method import Method

M = TypeVar("M", bound=Method)


def method_classes() -> dict[str, type[Method]]:
    """Every method by the name it has in configurations and checkpoints."""
    from hand_pipeline.methods.keypoint_probe import KeypointProbe
    from hand_pipeline.methods.maskhand.maskhand import MaskHand
    from hand_pipeline.methods.maskhand.text import TextMaskHand
    from hand_pipeline.methods.maskhand.vq_mano import VqMano
    from hand_pipeline.methods.peclr.peclr import PeCLR
    from hand_pipeline.methods.pymaf.pymaf import PyMAF
    from hand_pipeline.methods.s2hand.s2hand import S2Hand
    from hand_pipeline.methods.self_distillation.handmim import HandMIM
    from hand_pipeline.methods.self_distillation.ibot import Ibot

    return {
        "handmim": HandMIM,
        "ibot": Ibot,
        "keypoint_probe": KeypointProbe,
        "maskhand": MaskHand,
        "maskhand_text": TextMaskHand,
        "peclr": PeCLR,
        "pymaf": PyMAF,
        "s2hand": S2Hand,
        "vq_mano": VqMano,
    }


def method_class(name: str) -> type[Method]:
    """The method of a name.

    Raises:
        ValueError: there is none.
    """
    known = method_classes()
    if name not in known:
        raise ValueError(f"unknown method {name!r}; known methods: {', '.join(known)}")
    return known[name]


def config_class(name: str) -> type[Config]:
    """The configuration of a method's own numbers: what its constructor takes as `cfg`.

    Raises:
        ValueError: there is no method of that name.
    """
    kind = typing.get_type_hints(method_class(name).__init__)["cfg"]
    assert issubclass(kind, Config)  # of every method
    return kind


def restore_method(checkpoint: Checkpoint, origin: str = "the checkpoint") -> Method:
    """Rebuild a trained method, in evaluation mode.

    Raises:
        CheckpointError: it holds no method, or one that is not known.
        CheckpointMismatchError: its weights do not fit its configuration.
    """
    name, known = str(checkpoint.metadata.get("method")), method_classes()
    if name not in known:
        raise CheckpointError(f"{origin} holds {name!r}; known methods: {', '.join(known)}")
    hints = typing.get_type_hints(known[name].__init__)
    configs: dict[str, Any] = {}
    for parameter in inspect.signature(known[name]).parameters:
        values = _without_starting_weights(checkpoint.metadata["configs"][parameter])
        configs[parameter] = hints[parameter](**values)
    method = known[name](**configs)
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
