"""The papers, one file each."""

import inspect
import typing
from pathlib import Path
from typing import Any

from hand_pipeline.models.state import load_strictly
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from hand_pipeline.training.method import Method


def method_classes() -> dict[str, type[Method]]:
    """Every method by the name it has in configurations and checkpoints."""
    from hand_pipeline.methods.handmim import HandMIM
    from hand_pipeline.methods.maskhand import MaskHand
    from hand_pipeline.methods.maskhand_text import TextMaskHand
    from hand_pipeline.methods.pymaf import PyMAF
    from hand_pipeline.methods.vq_mano import VqMano

    return {
        "handmim": HandMIM,
        "maskhand": MaskHand,
        "maskhand_text": TextMaskHand,
        "pymaf": PyMAF,
        "vq_mano": VqMano,
    }


def restore_method(checkpoint: Checkpoint, origin: str = "the checkpoint") -> Method:
    """Rebuild a trained method, in evaluation mode.

    Raises:
        CheckpointError: it holds no method, or one that is not known.
        CheckpointMismatchError: its weights do not fit its configuration.
    """
    name, known = checkpoint.metadata.get("method"), method_classes()
    if name not in known:
        raise CheckpointError(f"{origin} holds {name!r}; known methods: {', '.join(known)}")
    hints = typing.get_type_hints(known[name].__init__)
    configs: dict[str, Any] = {}
    for parameter in inspect.signature(known[name]).parameters:
        values = dict(checkpoint.metadata["configs"][parameter])
        if "init" in values:
            values["init"] = "random"  # all weights come from the checkpoint
        configs[parameter] = hints[parameter](**values)
    method = known[name](**configs)
    load_strictly(method, checkpoint.tensors, origin)
    return method.eval()


def load_method(path: Path | str) -> Method:
    """Read a checkpoint file and rebuild its method, in evaluation mode."""
    return restore_method(load_checkpoint(path), str(path))
