"""What is tuned: the typed form of its YAML."""

from typing import Any, Literal

from pydantic import Field, model_validator

from hand_pipeline.config import Config
from hand_pipeline.sweeps.declaration import ParameterRange


class PruningConfig(Config):
    """When a trial is stopped early: worse than the median of former ones at the same step."""

    record: str = Field(description="of the training loop, e.g. `tokenizer.loss.total`")
    direction: Literal["minimize", "maximize"] = Field("minimize", description="of the record")
    startup_trials: int = Field(5, ge=0, description="trials that are never stopped")
    warmup_steps: int = Field(0, ge=0, description="training steps before any is stopped")


class TuningConfig(Config):
    """A study: which parameters of which pipelines, for which figure."""

    study: str = Field(description="name; a study of that name is gone on with")
    storage: str | None = Field(
        None, description="null: sqlite in the sweeps' folder; postgresql+psycopg://user@host/db"
    )
    chain: list[str] = Field(min_length=1, description="registered pipelines, in order")
    objective: str = Field(description="`data set:dotted key` of the figure")
    direction: Literal["minimize", "maximize"] = "minimize"
    trials: int = Field(gt=0, description="in all, over all workers")
    space: dict[str, ParameterRange] = Field(description="by dotted parameter path")
    fixed: dict[str, Any] = Field({}, description="further changes, the same for all trials")
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = Field(0, ge=0)
    pruning: PruningConfig | None = None
    heartbeat: int = Field(10, gt=0, description="s; a worker silent for three of them is dead")
    retries: int = Field(2, ge=0, description="times a dead worker's trial is tried again")

    @model_validator(mode="after")
    def _askable(self) -> "TuningConfig":
        if not self.space:
            raise ValueError("nothing to tune: `space` names no parameter")
        if not all(self.objective.partition(":")):
            raise ValueError(f"objective: expected DATASET:KEY, got {self.objective!r}")
        if both := self.space.keys() & self.fixed.keys():
            raise ValueError(f"{sorted(both)} are both tuned and fixed")
        for path, one in self.space.items():
            for other, values in one.when.items():
                if other not in self.space:
                    raise ValueError(f"{path}: its condition {other!r} is not tuned itself")
                known = self.space[other].choices
                if known is None:
                    raise ValueError(f"{path}: its condition {other!r} must be of kind choice")
                if never := [v for v in as_list(values) if v not in known]:
                    raise ValueError(f"{path}: {other} is never {never}; it is one of {known}")
        self.ordered()
        return self

    def ordered(self) -> list[tuple[str, ParameterRange]]:
        """The space, each parameter after those its condition names."""
        found: dict[str, ParameterRange] = {}
        while len(found) < len(self.space):
            ready = {
                path: one
                for path, one in self.space.items()
                if path not in found and one.when.keys() <= found.keys()
            }
            if not ready:
                raise ValueError(f"conditions in a circle: {sorted(self.space.keys() - found)}")
            found |= ready
        return list(found.items())


def as_list(values: Any) -> list[Any]:
    """One value, or several."""
    return values if isinstance(values, list) else [values]
