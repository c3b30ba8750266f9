"""The base class of every configuration: frozen, typed, and closed to unknown keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

ANY = object()
"""In `Config.retired`: any value is accepted."""


class Config(BaseModel):
    """A frozen set of parameters, built by Kedro from YAML before any node runs.

    An unknown or misspelt key, a wrong type or a value out of range is an error that names the key.
    Each field's description says its unit and where its default comes from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    retired: ClassVar[Mapping[str, Any]] = {}
    """Removed options that old checkpoints may hold, each with the only value still supported
    (docs/deviations.md lists them)."""


class MachineConfig(Config):
    """Where to run. Never part of a result, a DVC parameter or a checkpoint's key."""

    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(1, gt=0, description="training processes on this machine, one per GPU")
    num_workers: int = Field(0, ge=0, description="data-loading processes per training process")
    workers: int = Field(2, gt=0, description="processes that render or detect")
    sweep_workers: int = Field(1, gt=0, description="units of a sweep that run in parallel")
    compile: bool = Field(False, description="torch.compile the networks")
    workspace: Path = Field(Path("data/.checkpoints"), description="running checkpoints")

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Device of a trained model."""
        import torch  # not at the top: every `kedro run` loads this module, and torch takes seconds

        return "cuda" if self.accelerator != "cpu" and torch.cuda.is_available() else "cpu"
