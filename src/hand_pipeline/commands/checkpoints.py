"""Which trained model a command runs: a checkpoint file, or what the pipelines left."""

from pathlib import Path
from typing import NamedTuple

import click

from hand_pipeline.evaluation.reconstruct import HandModel

MODELS = "06_models"


class TrainedModel(NamedTuple):
    """A model that a pipeline leaves as `<data>/06_models/<name>_method.safetensors`.

    Attributes:
        pipeline: makes it.
        holds: key of `methods.METHODS`.
    """

    pipeline: str
    holds: str


TRAINED = {
    "handmim": TrainedModel("finetune", "pymaf"),
    "supervised": TrainedModel("finetune", "pymaf"),
    "maskhand": TrainedModel("maskhand", "maskhand"),
    "s2hand": TrainedModel("s2hand", "s2hand"),
}
"""What `--method` takes. HandMIM and its baseline are fine-tuned to the same PyMAF head."""


def find_checkpoint(checkpoint: Path | None, method: str | None, data: Path) -> Path:
    """The file that was given, or the one that the pipeline of the method leaves.

    Args:
        checkpoint: if given, this one.
        method: key of `TRAINED`.
        data: root of the profile's data.

    Raises:
        click.UsageError: neither a checkpoint nor a method was given.
        click.ClickException: the pipeline has left none yet.
    """
    if checkpoint is not None:
        return checkpoint
    if method is None:
        raise click.UsageError(
            "give --method for a model that the pipelines have made "
            f"({', '.join(TRAINED)}), or --checkpoint for any other"
        )
    path = data / MODELS / f"{method}_method.safetensors"
    if not path.is_file():
        raise click.ClickException(
            f"no {path}: make it with `kedro run --pipelines {TRAINED[method].pipeline}`, name the "
            "data of another profile by --data, or give a --checkpoint"
        )
    return path


def load_model(checkpoint: Path, device: str, method: str | None = None) -> HandModel:
    """The model a checkpoint holds, in eval mode on a device.

    Args:
        checkpoint: the file.
        device: where the model will run.
        method: key of `TRAINED`; refuse a checkpoint of another one.

    Raises:
        click.ClickException: it is no checkpoint, of another method, or of one that reconstructs
            no hands.
    """
    from hand_pipeline.methods import restore_method  # timm and kornia load for seconds
    from hand_pipeline.training.checkpoint import load_checkpoint

    try:
        loaded = load_checkpoint(checkpoint)
        holds = loaded.metadata.get("method")
        if method is not None and holds != TRAINED[method].holds:
            raise click.ClickException(
                f"{checkpoint} holds {holds!r}, but --method {method} needs "
                f"{TRAINED[method].holds!r}: leave --method out or give another checkpoint"
            )
        model = restore_method(loaded, str(checkpoint))
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if not isinstance(model, HandModel):
        raise click.ClickException(
            f"{checkpoint} holds {type(model).__name__}, which reconstructs no hands; give the "
            f"checkpoint of {' or '.join(TRAINED)}"
        )
    model.to(device)
    return model
