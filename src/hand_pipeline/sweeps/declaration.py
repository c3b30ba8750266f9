"""Typed configurations of sweeps and of Optuna studies, as declared in YAML."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, model_validator

from hand_pipeline.config import Config

Columns = dict[str, str]
"""Column heading to metric, as `data set:dotted key`, e.g. `evaluate_metrics:handmim.auc`."""


class SweepError(ValueError):
    """A sweep or a study cannot be run as declared; the message says what to change."""


class MemberConfig(Config):
    """A member of a sweep: one row of the result table."""

    name: str = Field(pattern=r"^[\w.+-]+$", description="of its folder and of the row")
    overrides: dict[str, Any] = Field({}, description="values by dotted parameter path")
    chain: list[str] | None = Field(None, description="pipelines instead of the sweep's")
    columns: Columns = Field({}, description="columns that this member reads elsewhere")
    x: float | None = Field(None, description="position on the figure's x axis; null: bars")
    group: str = Field("", description="members of a group share a line of the figure")


class SweepPictureConfig(Config):
    """What the figure shows."""

    columns: list[str] = Field([], description="headings to draw; empty: all")
    x_label: str = ""
    log_x: bool = False
    trade_offs: list[tuple[str, str]] = Field(
        [], description="pairs of headings to plot against each other: a cost and a benefit"
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
    outputs: list[str] = Field([], description="further data sets to make, e.g. figures")
    picture: SweepPictureConfig = SweepPictureConfig()
    draw: Literal["hands"] | None = Field(
        None,
        description="hands: also NAME_hands_picture, each member's predictions of held-out hands",
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
            raise ValueError("several seeds but no `seed_paths`: all seeds would be the same run")
        drawn = {*self.picture.columns, *(h for pair in self.picture.trade_offs for h in pair)}
        if unknown := drawn - set(self.columns):
            raise ValueError(f"the figure's columns {sorted(unknown)} are not among `columns`")
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
    """Names of all declared sweeps, with the `draw` of each.

    Args:
        conf: folder of one or of all profiles; any parameter file below it may declare sweeps.
    """
    found: dict[str, str | None] = {}
    for file in sorted(conf.glob("**/parameters*.yml")):
        if "sweeps:" in (text := file.read_text()):
            for name, declared in ((yaml.safe_load(text) or {}).get("sweeps") or {}).items():
                found[name] = (declared or {}).get("draw") or found.get(name)
    return found


class ParameterRange(Config):
    """Values Optuna may choose for one parameter.

    `when` makes it conditional: other tuned parameters and their values (one or a list) at which
    it is used.
    """

    kind: Literal["float", "int", "choice"]
    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = Field(None, gt=0)
    choices: list[bool | int | float | str] | None = None
    when: dict[str, Any] = Field({}, description="condition on other tuned parameters")

    @model_validator(mode="after")
    def _not_empty(self) -> "ParameterRange":
        if self.kind == "choice":
            if not self.choices:
                raise ValueError("an empty range: `choices` must name at least one value")
            if self.low is not None or self.high is not None or self.log or self.step:
                raise ValueError("a choice has only `choices`, no low, high, log or step")
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
    """Stop a trial early if it is worse than the median of former trials at the same step."""

    record: str = Field(description="training value to watch, e.g. `tokenizer.loss.total`")
    direction: Literal["minimize", "maximize"] = Field("minimize", description="of the record")
    startup_trials: int = Field(5, ge=0, description="trials that are never stopped")
    warmup_steps: int = Field(0, ge=0, description="training steps before a trial may stop")


class TuningConfig(Config):
    """A study: which parameters of which pipelines to tune, for which metric."""

    study: str = Field(description="name; an existing study of that name is continued")
    storage: str | None = Field(
        None, description="database, e.g. postgresql+psycopg://user@host/db; null: an sqlite file"
    )
    chain: list[str] = Field(min_length=1, description="registered pipelines, in order")
    objective: str = Field(description="`data set:dotted key` of the metric")
    direction: Literal["minimize", "maximize"] = "minimize"
    trials: int = Field(gt=0, description="in total, over all workers")
    space: dict[str, ParameterRange] = Field(description="by dotted parameter path")
    fixed: dict[str, Any] = Field({}, description="further changes, the same for all trials")
    sampler: Literal["tpe", "random"] = "tpe"
    seed: int = Field(0, ge=0)
    pruning: PruningConfig | None = None
    heartbeat: int = Field(10, gt=0, description="s; a worker that misses three counts as dead")
    retries: int = Field(2, ge=0, description="times a dead worker's trial is repeated")

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
                    raise ValueError(f"{path}: its condition {other!r} is not tuned")
                known = self.space[other].choices
                if known is None:
                    raise ValueError(f"{path}: its condition {other!r} must be of kind choice")
                if never := [v for v in as_list(values) if v not in known]:
                    raise ValueError(f"{path}: {other} is never {never}; it is one of {known}")
        self.ordered()
        return self

    def ordered(self) -> list[tuple[str, ParameterRange]]:
        """The space, each parameter after those in its condition."""
        found: dict[str, ParameterRange] = {}
        while len(found) < len(self.space):
            ready = {
                path: one
                for path, one in self.space.items()
                if path not in found and one.when.keys() <= found.keys()
            }
            if not ready:
                raise ValueError(f"circular conditions: {sorted(self.space.keys() - found)}")
            found |= ready
        return list(found.items())


def as_list(values: Any) -> list[Any]:
    """A list as it is, a single value as a list of one."""
    return values if isinstance(values, list) else [values]
