"""Find and load the trained model that somebody asks for."""

from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from hand_pipeline.methods import restore_method, untrained_method
from hand_pipeline.training.checkpoint import load_checkpoint
from hand_pipeline.training.method import Reconstructor

MODELS = "06_models"


class ModelError(ValueError):
    """A model that is not there, or is not what was asked for; says what to do."""


class TrainedModel(NamedTuple):
    """A model that a pipeline saves as `<data>/06_models/<name>_method.safetensors`.

    One that is shipped (`scripts.ship_model`) is `assets/models/<name>.safetensors`.

    Attributes:
        pipeline: the pipeline that trains it; None: there is nothing to train, nor a file.
        holds: its key in `methods.METHODS`.
    """

    pipeline: str | None
    holds: str


TRAINED = {
    "handmim": TrainedModel("finetune", "pymaf"),
    "supervised": TrainedModel("finetune", "pymaf"),
    "maskhand": TrainedModel("maskhand", "maskhand"),
    "s2hand": TrainedModel("s2hand", "s2hand"),
    "lifter": TrainedModel("lifter", "lifter"),
    "mediapipe": TrainedModel(None, "mediapipe"),
}
"""Values of `--method`. HandMIM and its baseline are both fine-tuned with the PyMAF head."""
BEST = "mediapipe"
"""The method that is used where none is named; it works without any training of one's own."""


def shipped_model(method: str) -> Path | None:
    """The checkpoint of a method that comes with the package, if there is one."""
    path = Path(str(files("hand_pipeline.assets"))) / "models" / f"{method}.safetensors"
    return path if path.is_file() else None


def find_checkpoint(checkpoint: Path | None, method: str | None, data: Path) -> Path | None:
    """The given checkpoint file, the one that the method's pipeline saved, or the shipped one.

    None stands for a method that needs no file: nothing is trained.

    Args:
        checkpoint: returned if given.
        method: key of `TRAINED`; None: the shipped model of `BEST`, whatever the pipelines saved.
        data: root of the profile's data.

    Raises:
        ModelError: the pipeline has not saved one yet, and none is shipped.
    """
    if checkpoint is not None:
        return checkpoint
    if method is None:
        return shipped_model(BEST)
    if TRAINED[method].pipeline is None:
        return None
    path = data / MODELS / f"{method}_method.safetensors"
    if not path.is_file() and (shipped := shipped_model(method)):
        return shipped
    if not path.is_file():
        raise ModelError(
            f"no {path}: make it with `kedro run --pipelines {TRAINED[method].pipeline}`, choose "
            "another profile's data with --data, or give a --checkpoint"
        )
    return path


def load_model(checkpoint: Path | None, device: str, method: str | None = None) -> Reconstructor:
    """Load the model of a checkpoint, in eval mode on a device.

    Args:
        checkpoint: the file; None: `method` needs none.
        device: where the model will run.
        method: key of `TRAINED` that the checkpoint must belong to; None: any, or `BEST` where
            there is no file.

    Raises:
        ModelError: the file is no checkpoint, or its method is another one or does not
            reconstruct hands.
    """
    if checkpoint is None:
        model = untrained_method(TRAINED[method or BEST].holds)
        assert isinstance(model, Reconstructor)
        return model.to(device)
    try:
        loaded = load_checkpoint(checkpoint)
        holds = loaded.metadata.get("method")
        if method is not None and holds != TRAINED[method].holds:
            raise ModelError(
                f"{checkpoint} holds {holds!r}, but --method {method} needs "
                f"{TRAINED[method].holds!r}: leave --method out or give another checkpoint"
            )
        model = restore_method(loaded, str(checkpoint))
    except (ValueError, OSError, RuntimeError) as error:
        raise ModelError(str(error)) from error
    if not isinstance(model, Reconstructor):
        raise ModelError(
            f"{checkpoint} holds {type(model).__name__}, which reconstructs no hands; give the "
            f"checkpoint of {' or '.join(TRAINED)}"
        )
    model.to(device)
    return model
