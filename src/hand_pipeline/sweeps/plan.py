"""Split members into units of work, each keyed by everything that decides its result."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

from kedro.io import CatalogConfigResolver
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from hand_pipeline.config import MachineConfig
from hand_pipeline.provenance import code_hash, content_hash, run_key
from hand_pipeline.sweeps.declaration import Columns, SweepError
from hand_pipeline.sweeps.ground import find_maker
from hand_pipeline.sweeps.project import (
    MACHINE,
    Project,
    load_chain,
    made_by,
    module_of,
    override,
    typed_parameters,
)
from hand_pipeline.tracking import plain

DONE = "done.json"


@dataclass(frozen=True)
class Unit:
    """Nodes that run together, only once for all runs that share them.

    It is pickled with its nodes' names, and finds the nodes again in their pipeline: a node may be
    any function, also one made by another.

    Attributes:
        key: hash of nodes, code, parameters and inputs.
        module: that makes the pipeline of the nodes.
        folder: of its results, which are complete once it holds `done.json`.
        parameters: by Kedro's name, typed.
        entries: catalog entries that the nodes load and save.
        needs: keys of the units whose results it loads.
    """

    key: str
    name: str
    module: str
    nodes: tuple[Node, ...]
    folder: Path
    parameters: dict[str, Any]
    entries: dict[str, dict[str, Any]]
    needs: tuple[str, ...]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"nodes": tuple(node.name for node in self.nodes)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        known = {node.name: node for node in made_by(state["module"]).nodes}
        vars(self).update(state, nodes=tuple(known[name] for name in state["nodes"]))

    @property
    def pipeline(self) -> str:
        """The name of the nodes' pipeline."""
        return self.module.rpartition(".")[2]

    @property
    def done(self) -> bool:
        """Whether its results are on disk."""
        return (self.folder / DONE).exists()

    def plain_parameters(self) -> dict[str, Any]:
        """Its parameters as plain values, without the machine, which cannot change a result."""
        return {
            name.removeprefix("params:"): plain(value)
            for name, value in self.parameters.items()
            if name != MACHINE
        }


@dataclass(frozen=True)
class Run:
    """One member with one seed; planning adds `units` and `files`.

    Attributes:
        columns: the metrics it must produce, by heading.
        outputs: further data sets to make.
        units: keys of all units it needs, in the order they run.
        files: path of each data set of its chain.
    """

    member: str
    seed: int
    chain: list[str]
    overrides: dict[str, Any]
    columns: Columns
    outputs: list[str] = field(default_factory=list)
    units: tuple[str, ...] = ()
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Shown in progress bars and in MLflow."""
        return f"{self.member} seed {self.seed}"

    @property
    def key(self) -> str:
        """Hash of the keys of all its units."""
        return run_key(units=self.units)


@dataclass
class Plan:
    """All runs, and the units they consist of.

    Attributes:
        inputs: hashes of the data that the chains only read, by name.
        missing: those that do not exist yet but that a pipeline makes.
    """

    runs: list[Run] = field(default_factory=list)
    units: dict[str, Unit] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def waiting(self) -> list[Unit]:
        """Units that are not done, in the order of the runs."""
        return [unit for unit in self.units.values() if not unit.done]


def make_plan(project: Project, runs: Iterable[Run]) -> Plan:
    """Check every run and split it into units; nothing runs yet.

    Raises:
        SweepError: lists all errors of all runs: unknown paths, wrong values, missing data that no
            pipeline makes.
    """
    plan, faults = Plan(), dict[str, list[str]]()
    planner = _Planner(project, plan)
    for run in runs:
        try:
            planned, units = planner.plan_run(run)
        except SweepError as error:
            faults.setdefault(str(error), []).append(run.member)
            continue
        plan.runs.append(planned)
        plan.units |= {unit.key: unit for unit in units if unit.key not in plan.units}
    if faults:
        lines = [f"{', '.join(dict.fromkeys(who))}: {fault}" for fault, who in faults.items()]
        raise SweepError("nothing was run.\n  " + "\n  ".join(lines))
    return plan


class _Planner:
    """Plans runs; holds what they share: pipelines, catalog, hashes of the data."""

    def __init__(self, project: Project, plan: Plan):
        self.project, self.inputs, self.missing = project, plan.inputs, plan.missing
        self.resolver = project.resolver()
        self.chains: dict[tuple[str, ...], dict[str, Pipeline]] = {}

    def plan_run(self, run: Run) -> tuple[Run, list[Unit]]:
        names = tuple(run.chain)
        pipelines = self.chains.setdefault(names, load_chain(names))
        whole: Pipeline = reduce(lambda a, b: a + b, pipelines.values())
        wanted = {place.partition(":")[0] for place in run.columns.values()} | set(run.outputs)
        if unknown := wanted - whole.all_outputs():
            raise SweepError(
                f"the chain {' -> '.join(names)} makes no {sorted(unknown)}; it makes "
                f"{', '.join(sorted(whole.all_outputs()))}"
            )
        parameters = override(self.project.parameters, run.overrides, whole)
        typed = typed_parameters(whole.nodes, parameters)
        origins = {node.name: module_of(n) for n, made in pipelines.items() for node in made.nodes}
        units: list[Unit] = []
        for nodes in _groups(whole.to_outputs(*wanted), self.resolver):
            units.append(self._unit(nodes, origins[nodes[0].name], typed, units))
        files = {d: Path(e["filepath"]) for u in units for d, e in u.entries.items()}
        return replace(run, units=tuple(unit.key for unit in units), files=files), units

    def _unit(
        self, nodes: list[Node], module: str, typed: Mapping[str, Any], earlier: list[Unit]
    ) -> Unit:
        part, name = Pipeline(nodes), nodes[0].name
        loaded = sorted(i for i in part.inputs() if not i.startswith("params:"))
        makers = {d: unit for unit in earlier for n in unit.nodes for d in n.outputs}
        parameters = {i: typed[i] for i in sorted(part.inputs()) if i.startswith("params:")}
        key = run_key(
            nodes={n.name: f"{n.func.__module__}.{n.func.__qualname__}" for n in nodes},
            code={n.func.__module__: code_hash(n.func.__module__) for n in nodes},
            parameters={i: plain(v) for i, v in parameters.items() if i != MACHINE},
            inputs={d: makers[d].key if d in makers else self._input(d, name) for d in loaded},
        )
        folder = self.project.sweeps / "work" / name / key
        if isinstance(machine := parameters.get(MACHINE), MachineConfig):
            update = {"workspace": folder / "running"}
            parameters[MACHINE] = machine.model_copy(update=update)
        entries = {d: makers[d].entries[d] if d in makers else self._entry(d) for d in loaded}
        for dataset in sorted(d for d in part.all_outputs() if _kept(d, self.resolver)):
            entry = self._entry(dataset)
            entries[dataset] = {**entry, "filepath": str(folder / Path(entry["filepath"]).name)}
        needs = tuple(sorted({makers[d].key for d in loaded if d in makers}))
        return Unit(key, name, module, tuple(nodes), folder, parameters, entries, needs)

    def _entry(self, dataset: str) -> dict[str, Any]:
        return self.resolver.resolve_pattern(dataset)

    def _input(self, dataset: str, node: str) -> str:
        """Hash of data that the chain does not make; empty if they do not exist yet."""
        if dataset not in self.inputs and dataset not in self.missing:
            path = self.project.path_of(dataset)
            if path is not None and path.exists():
                self.inputs[dataset] = content_hash(path, self.project.sweeps / "inputs")
            elif find_maker(self.project, dataset) is not None:
                self.missing.add(dataset)
            else:
                raise SweepError(
                    f"{node} needs {dataset}, which is not at {path}: put it there, or run the "
                    "pipeline that makes it"
                )
        return self.inputs.get(dataset, "")


def _kept(dataset: str, resolver: CatalogConfigResolver) -> bool:
    return dataset in resolver.config or resolver.match_dataset_pattern(dataset) is not None


def _groups(pipeline: Pipeline, resolver: CatalogConfigResolver) -> list[list[Node]]:
    """Nodes in the order they run; those that pass data in memory stay in one group."""
    groups: list[list[Node]] = []
    for node in pipeline.nodes:
        unkept = {i for i in node.inputs if ":" not in i and not _kept(i, resolver)}
        joined = [g for g in groups if any(unkept & set(n.outputs) for n in g)]
        groups = [g for g in groups if g not in joined]
        groups.append([n for g in joined for n in g] + [node])
    return groups
