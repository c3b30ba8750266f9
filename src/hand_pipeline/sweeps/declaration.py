"""What a sweep is, and what a study of Optuna's: the typed form of their YAML."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from hand_pipeline.config import Config

Columns = dict[str, str]
"""Heading of a column: `data set:dotted key` of the figure, e.g. `evaluate_metrics:handmim.auc`."""


class SweepError(ValueError):
    """A sweep or a study cannot be run as it is declared; says what to change."""


class MemberConfig(Config):
    """One row of the result table."""

    name: str = Field(pattern=r"^[\w.+-]+$", description="names a folder and the row")
    overrides: dict[str, Any] = Field({}, description="values by dotted parameter path")
    chain: list[str] | None = Field(None, description="pipelines in place of the sweep's")
    columns: Columns = Field({}, description="columns that this member reads elsewhere")
    x: float | None = Field(None, description="place on the picture's axis; null: bars")
    group: str = Field("", description="members of one group share a line of the picture")


class SweepPictureConfig(Config):
    """What the picture shows."""

    columns: list[str] = Field([], description="headings to draw; empty: all")
    x_label: str = ""
    log_x: bool = False
    trade_offs: list[tuple[str, str]] = Field(
        [], description="pairs of headings: what a member costs, and what it gives for it"
    )
    shown: int = Field(6, gt=0, description="hands in the grid of a sweep with `draw: hands`")


class SweepConfig(Config):
    """Runs of a chain of pipelines, each with some parameters changed."""

    title: str
    chain: list[str] = Field(min_length=1, description="registered pipelines, run in this order")
    members: list[MemberConfig]
    seeds: list[int] = Field([0], min_length=1)
    seed_paths: list[str] = Field([], description="parameters that take the seed")
    shared: list[str] = Field([], description="pipelines that must be the same for all runs")
    columns: Columns = Field(min_length=1)
    outputs: list[str] = Field([], description="further data sets to make: pictures, say")
    picture: SweepPictureConfig = SweepPictureConfig()
    draw: Literal["hands"] | None = Field(
        None,
        description="hands: also NAME_hands_picture, some held-out hands as each member sees them",
    )

    @model_validator(mode="after")
    def _consistent(self) -> "SweepConfig":
        if not self.members:
            raise ValueError("the sweep has no members; name at least one under `members`")
        if doubled := _doubled(member.name for member in self.members):
            raise ValueError(f"several members are named {doubled}; give each its own name")
        if doubled := _doubled(map(str, self.seeds)):
            raise ValueError(f"several seeds are {doubled}")
        if len(self.seeds) > 1 and not self.seed_paths:
            raise ValueError("several seeds but no `seed_paths`: every seed would give the same")
        drawn = {*self.picture.columns, *(h for pair in self.picture.trade_offs for h in pair)}
        if unknown := drawn - set(self.columns):
            raise ValueError(f"the picture's columns {sorted(unknown)} are not among `columns`")
        for member in self.members:
            if unknown := set(member.columns) - set(self.columns):
                raise ValueError(
                    f"member {member.name}: columns {sorted(unknown)} are not among the sweep's"
                )
        columns = [self.columns, *(member.columns for member in self.members)]
        for heading, place in [item for named in columns for item in named.items()]:
            if not all(place.partition(":")):
                raise ValueError(f"column {heading}: expected DATASET:KEY, got {place!r}")
        return self


def _doubled(names: Iterable[str]) -> str:
    return ", ".join(sorted(name for name, count in Counter(names).items() if count > 1))


def declared_sweeps(conf: Path) -> dict[str, str | None]:
    """Names of all declared sweeps, and what each draws besides its picture.

    Args:
        conf: a profile's folder, or that of all profiles. Any file of parameters below it may
            declare sweeps.
    """
    found: dict[str, str | None] = {}
    for file in sorted(conf.glob("**/parameters*.yml")):
        if "sweeps:" in (text := file.read_text()):
            for name, declared in ((yaml.safe_load(text) or {}).get("sweeps") or {}).items():
                found[name] = (declared or {}).get("draw") or found.get(name)
    return found


class ParameterRange(Config):
    """What Optuna may choose for one parameter.

    `when` names other tuned parameters and the values (one or a list) at which this one exists.
    """

    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = Field(None, gt=0)
    choices: list[bool | int | float | str] | None = None
    when: dict[str, Any] = Field({}, description="of other tuned parameters")

    @model_validator(mode="after")
    def _not_empty(self) -> "ParameterRange":
        if self.kind == "choice":
            if not self.choices:
                raise ValueError("an empty range: `choices` must name at least one value")
            if self.low is not None or self.high is not None or self.log or self.step:
                raise ValueError("a choice has `choices` only, no low, high, log or step")
            return self
        if self.choices is not None:
            raise ValueError(f"`choices` is for kind choice, not {self.kind}")
        if self.low is None or self.high is None:
            raise ValueError("expected both `low` and `high`")
        if not self.low <= self.high:
            raise ValueError(f"an empty range: low {self.low:g} is above high {self.high:g}")
        if self.log and (self.low <= 0 or self.step):
            raise ValueError("a log range needs low above 0 and no step")
        if self.kind == "int" and any(v is not None and v % 1 for v in (self.low, self.high)):
            raise ValueError("an int range needs whole numbers")
        return self


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
