"""The base class of every configuration: frozen, typed, and closed to unknown keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

ANY = object()
"""Any value, in `Config.retired`."""


class Config(BaseModel):
    """A frozen set of parameters, built by Kedro from YAML before any node runs.

    An unknown or misspelt key, a value of the wrong type or outside its range is an error that
    names the key. Keys are the field's words; each field says its unit and where it comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    retired: ClassVar[Mapping[str, Any]] = {}
    """Options of former versions that checkpoints may hold, each with the only value that is left
    of it (docs/deviations.md has them all)."""


class MachineConfig(Config):
    """Where to run. Never part of a result, of a DVC parameter or of a checkpoint's key."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, gt=0, description="training processes on this machine, one a GPU")
    num_workers: int = Field(0, ge=0, description="loader processes of a training process")
    workers: int = Field(2, gt=0, description="processes that render or detect")
    sweep_workers: int = Field(1, gt=0, description="members of a sweep side by side")
    compile: bool = Field(False, description="torch.compile the networks")
    workspace: Path = Field(Path("data/.checkpoints"), description="unfinished work, to resume")

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where a trained model runs."""
        import torch  # not at the top: every `kedro run` loads this module, and torch takes seconds

        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
