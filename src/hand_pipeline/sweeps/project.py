"""What a sweep knows of the project: parameters, catalog and pipelines of its profile."""

import copy
import difflib
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kedro.io import CatalogConfigResolver
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from pydantic import ValidationError

from hand_pipeline.config import Config
from hand_pipeline.sweeps.declaration import SweepError

PIPELINES = "hand_pipeline.pipelines"
MACHINE = "params:machine"
PROJECT = "project"
"""Name of the `Project` that the hook adds to the catalog."""


@dataclass(frozen=True)
class Project:
    """What the hook passes to a sweep.

    Attributes:
        root: folder of the project.
        data: the profile's data root.
        env: the profile.
        parameters: those of the YAML and the command line.
        catalog: entries with absolute paths.
        runtime: only the parameters of the command line.
    """

    root: Path
    data: Path
    env: str
    parameters: dict[str, Any]
    catalog: dict[str, Any]
    runtime: dict[str, Any] = field(default_factory=dict)

    @property
    def sweeps(self) -> Path:
        """Folder of the sweeps' work and records; no stage's output, because DVC deletes those."""
        return self.data / "sweeps"

    def resolver(self) -> CatalogConfigResolver:
        """Finds the catalog entry of a data set, by name or by pattern."""
        memory = {"{default}": {"type": "kedro.io.MemoryDataset"}}
        return CatalogConfigResolver(copy.deepcopy(self.catalog), default_runtime_patterns=memory)

    def path_of(self, dataset: str) -> Path | None:
        """Path of a data set; None if it is only in memory."""
        path = self.resolver().resolve_pattern(dataset).get("filepath")
        return Path(path) if path else None


def pipeline_names() -> list[str]:
    """Names of all modules and packages of `pipelines/`; sweeps are not among them."""
    return sorted(m.name for m in pkgutil.iter_modules(importlib.import_module(PIPELINES).__path__))


def load_pipeline(name: str) -> Pipeline:
    """The pipeline that a module of `pipelines/` makes."""
    return made_by(module_of(name))


def module_of(name: str) -> str:
    """The module of `pipelines/` that makes a pipeline."""
    return f"{PIPELINES}.{name}"


def made_by(module: str) -> Pipeline:
    """The pipeline of a module, by its whole name."""
    made = importlib.import_module(module).create_pipeline()
    assert isinstance(made, Pipeline)
    return made


def load_chain(names: Iterable[str]) -> dict[str, Pipeline]:
    """The pipelines of these names (Kedro itself loads only those of the command line).

    Raises:
        SweepError: a pipeline does not exist.
    """
    known = pipeline_names()
    for name in names:
        if name not in known:
            raise SweepError(f"no pipeline {name!r} for the chain; there are {known}")
    return {name: load_pipeline(name) for name in names}


def parameter_type(node: Node, dataset: str) -> type[Config] | None:
    """The `Config` class that a node declares for a parameter, if any."""
    hints = typing.get_type_hints(node.func)
    for argument, name in zip(inspect.signature(node.func).parameters, node.inputs):
        kind = hints.get(argument)
        if name == dataset and isinstance(kind, type) and issubclass(kind, Config):
            return kind
    return None


def look_up(parameters: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path.

    Raises:
        KeyError: the path does not exist.
    """
    value: Any = parameters
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise KeyError(path)
        value = value[part]
    return value


def override(
    parameters: Mapping[str, Any], values: Mapping[str, Any], chain: Pipeline
) -> dict[str, Any]:
    """Copy of `parameters` with the `values` set at their dotted paths.

    Raises:
        SweepError: no node of the chain reads such a parameter.
    """
    changed = copy.deepcopy(dict(parameters))
    for path, value in values.items():
        _check_path(path, chain)
        *parents, last = path.split(".")
        place: Any = changed
        for part in parents:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise SweepError(f"parameter {path!r}: {part!r} is a value and has nothing below")
        place[last] = value
    return changed


def _check_path(path: str, chain: Pipeline) -> None:
    read = sorted(i.removeprefix("params:") for i in chain.inputs() if i.startswith("params:"))
    if path.split(".")[0] == "machine":
        raise SweepError(f"parameter {path!r}: machine settings cannot change a result")
    owner = next((name for name in read if path == name or path.startswith(f"{name}.")), None)
    if owner is None:
        raise SweepError(f"no stage reads the parameter {path!r}; they read {', '.join(read)}")
    kinds = [parameter_type(n, f"params:{owner}") for n in chain.nodes]
    kind: Any = next((k for k in kinds if k is not None), None)
    for part in filter(None, path.removeprefix(owner).split(".")):
        if not (isinstance(kind, type) and issubclass(kind, Config)):
            return  # a value, or settings by name, which their own types check
        if part not in kind.model_fields:
            close = difflib.get_close_matches(part, kind.model_fields, 1)
            known = (
                f"did you mean {close[0]}?" if close else f"it has {', '.join(kind.model_fields)}"
            )
            raise SweepError(f"unknown parameter {path!r}: {owner} has no {part!r}; {known}")
        owner, kind = f"{owner}.{part}", kind.model_fields[part].annotation


def typed_parameters(nodes: list[Node], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that the nodes read, each validated as the `Config` its node declares.

    Raises:
        SweepError: a value is missing, of the wrong type, out of range or unknown.
    """
    found: dict[str, Any] = {}
    for node in nodes:
        for name in (i for i in node.inputs if i.startswith("params:") and i not in found):
            path = name.removeprefix("params:")
            try:
                value = look_up(parameters, path)
            except KeyError:
                raise SweepError(
                    f"{node.name} needs the parameter {path!r}; it is not set"
                ) from None
            kind = parameter_type(node, name)
            try:
                found[name] = value if kind is None else kind.model_validate(value)
            except ValidationError as error:
                raise SweepError("; ".join(_plain(path, e) for e in error.errors())) from None
    return found


def _plain(path: str, error: Any) -> str:
    where = ".".join([path, *map(str, error["loc"])])
    return f"parameter {where!r}: {error['msg']}, got {error.get('input')!r}"
