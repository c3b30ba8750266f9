"""Run a sweep: plan it, run its unfinished units, record each run, gather the metrics."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from hand_pipeline import tracking
from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps.declaration import SweepConfig, SweepError
from hand_pipeline.sweeps.ground import make_missing
from hand_pipeline.sweeps.plan import Plan, Run, Unit, make_plan
from hand_pipeline.sweeps.project import Project
from hand_pipeline.sweeps.results import RunRecord, read_metrics, read_record, write_record
from hand_pipeline.sweeps.work import Outcome
from hand_pipeline.sweeps.workers import Task, Workers, run_units

logger = logging.getLogger(__name__)


def runs_of(sweep: SweepConfig) -> Iterator[Run]:
    """Every member with every seed."""
    for member in sweep.members:
        for seed in sweep.seeds:
            yield Run(
                member.name, seed, member.chain or sweep.chain,
                member.overrides | dict.fromkeys(sweep.seed_paths, seed),
                sweep.columns | member.columns, sweep.outputs,
            )  # fmt: skip


def plan_sweep(project: Project, sweep: SweepConfig) -> Plan:
    """Check and plan a whole sweep before anything runs.

    Raises:
        SweepError: lists all errors of its members, or a `shared` pipeline differs between runs.
    """
    for member in sweep.members:
        if both := set(member.overrides) & set(sweep.seed_paths):
            raise SweepError(f"member {member.name} sets {sorted(both)}, which take the seed")
    plan = make_plan(project, runs_of(sweep))
    for name in sweep.shared:
        made = [unit for unit in plan.units.values() if unit.pipeline == name]
        if not made:
            raise SweepError(f"pipeline {name!r} is declared shared but no member runs it")
        for node in {unit.name for unit in made}:
            users: dict[str, str] = {}
            for run in plan.runs:
                users |= {k: run.name for k in run.units if plan.units[k].name == node}
            if len(users) > 1:
                raise SweepError(
                    f"pipeline {name!r} is declared shared, but its {node} is not the same for "
                    f"{' and '.join(users.values())}: overrides or seed paths change it"
                )
    return plan


def plan_on_ground(who: str, project: Project, plan: Callable[[], Plan]) -> Plan:
    """Plan runs, make their missing inputs once all runs are checked, and plan again.

    Raises:
        SweepError: a run is invalid, or an input cannot be made.
    """
    checked = plan()
    if not checked.missing:
        return checked
    make_missing(who, project, checked.missing)
    return plan()


def run_sweep(
    name: str, project: Project, sweep: SweepConfig, machine: MachineConfig
) -> list[RunRecord]:
    """Run every member with every seed; finished work is not repeated.

    Returns:
        A record per run, failed ones with their reason.

    Raises:
        SweepError: the sweep is invalid (nothing was run), or every run failed.
    """
    plan = plan_on_ground(name, project, lambda: plan_sweep(project, sweep))
    todo = len(plan.waiting())
    logger.info(
        "%s: %d runs of %d stages, of which %d are done and %d are to do", name, len(plan.runs),
        len(plan.units), len(plan.units) - todo, todo,
    )  # fmt: skip
    found = run_plan(name, plan, project.sweeps / name, machine)
    records = [found[run.name] for run in plan.runs]
    if all(record.status == "failed" for record in records):
        reasons = {f"{r.member} seed {r.seed}: {r.reason}" for r in records}
        raise SweepError("every run failed:\n  " + "\n  ".join(sorted(reasons)))
    return records


def run_plan(
    name: str,
    plan: Plan,
    folder: Path,
    machine: MachineConfig,
    environment: Mapping[str, str] | None = None,
) -> dict[str, RunRecord]:
    """Run the unfinished units of a plan; returns a record for each run, by its name.

    Args:
        folder: of the records.
        environment: further environment variables of the units' processes.
    """
    todo = plan.waiting()
    with tqdm(total=len(todo), desc=name, unit="stage", position=0) as bar:
        watch = _Watch(name, plan, folder, bar, dict(environment or {}))
        for run in plan.runs:
            watch.settle(run)
        modules = {node.func.__module__ for unit in todo for node in unit.nodes}
        try:
            run_units(todo, Workers(machine, modules), watch.task, watch.wanted, watch.ended)
        finally:
            watch.close()
    return watch.records


@dataclass
class _Watch:
    """Watches the units: opens and closes MLflow runs, and makes each run's record.

    Attributes:
        children: MLflow runs by the name of a run, or by the key of a unit that several share.
    """

    name: str
    plan: Plan
    folder: Path
    bar: tqdm
    environment: dict[str, str]
    records: dict[str, RunRecord] = field(default_factory=dict)
    children: dict[str, str | None] = field(default_factory=dict)

    def settle(self, run: Run) -> None:
        """Make the record of a run if all its units are done."""
        if run.name in self.records or not all(self.plan.units[key].done for key in run.units):
            return
        try:
            metrics = read_metrics(run)
        except SweepError as error:
            self._record(run, str(error))
            return
        former = None if run.name in self.children else read_record(self.folder, run)
        if former is not None and former.status == "finished":
            tracking.adopt(former.mlflow_run)  # as a child of the sweep's latest MLflow run
            self.records[run.name] = former.model_copy(update={"metrics": metrics})
            return
        with tracking.logging_to(self._child_of(run)):
            for dataset in (d for d in run.files if d.endswith("metrics")):
                tracking.log_final_metrics(dataset, json.loads(run.files[dataset].read_text()))
        self._record(run, metrics=metrics)

    def task(self, unit: Unit) -> Task:
        """The unit with its MLflow run: that of the only run that uses it, or its own."""
        self.bar.set_postfix_str(unit.name)
        users = self._users(unit)
        if len(users) == 1:
            child = self._child_of(users[0])
        else:
            title = f"shared {unit.name} {unit.key[:6]}"
            child = self._child(unit.key, title, {"sweep": self.name}, [unit])
        return Task(unit, tracking.environment(child) | self.environment)

    def wanted(self, unit: Unit) -> bool:
        """Whether a run without a record (not failed, not finished) needs it."""
        return any(run.name not in self.records for run in self._users(unit))

    def ended(self, unit: Unit, outcome: Outcome) -> None:
        """Handle a unit that is done or has failed, and record the runs this decides."""
        self.bar.update()
        if unit.key in self.children:
            tracking.end_run(self.children[unit.key], "FAILED" if outcome.reason else "FINISHED")
        for run in self._users(unit):
            if not outcome.reason:
                self.settle(run)
            elif run.name not in self.records:
                trace = unit.folder / "error.txt"
                logger.error("%s: %s failed: %s (%s)", run.name, unit.name, outcome.reason, trace)
                self._record(run, f"{unit.name}: {outcome.reason}")

    def close(self) -> None:
        """Close the MLflow runs that an interrupted sweep left open."""
        for run in self.plan.runs:
            if run.name in self.children and run.name not in self.records:
                tracking.end_run(self.children[run.name], "KILLED")

    def _users(self, unit: Unit) -> list[Run]:
        return [run for run in self.plan.runs if unit.key in run.units]

    def _child_of(self, run: Run) -> str | None:
        tags = {"sweep": self.name, "member": run.member, "seed": run.seed}
        return self._child(run.name, run.name, tags, [self.plan.units[key] for key in run.units])

    def _child(
        self, key: str, title: str, tags: Mapping[str, object], units: list[Unit]
    ) -> str | None:
        if key not in self.children:
            self.children[key] = tracking.start_child(title, tags)
            with tracking.logging_to(self.children[key]):
                for unit in units:
                    tracking.log_params(unit.plain_parameters())
        return self.children[key]

    def _record(self, run: Run, reason: str = "", metrics: dict[str, float] | None = None) -> None:
        child = self._child_of(run)
        record = RunRecord(
            member=run.member, seed=run.seed, status="failed" if reason else "finished",
            reason=" ".join(reason.split()), metrics=metrics or {}, overrides=run.overrides,
            files=run.files, key=run.key, mlflow_run=child,
        )  # fmt: skip
        write_record(self.folder, record)
        self.records[run.name] = record
        tracking.end_run(child, "FAILED" if reason else "FINISHED", record.reason)
