"""Kedro hooks: open and close a pipeline's MLflow run, and log what its result depends on."""

import os
import platform
import socket
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import yaml
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from hand_pipeline import spool, tracking
from hand_pipeline.sweeps.project import PROJECT, Project


class TrackingHook:
    """One MLflow run per `kedro run`, with parameters, git commit, data hashes and environment."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project is and how tracking is configured."""
        self.root = Path(context.project_path)
        # `dvc exp run --queue` works in ROOT/.dvc/tmp/exps/tmpXXXX, which DVC deletes afterwards:
        # records that must outlive it go to the real root.
        head, separator, _ = self.root.as_posix().partition("/.dvc/tmp/exps/")
        self.home = Path(head) if separator else self.root
        self.context = context
        try:
            self.settings: dict[str, Any] = context.config_loader["mlflow"]
        except MissingConfigException:
            self.settings = {"enabled": False}

    @hook_impl
    def after_catalog_created(self, catalog: CatalogProtocol, conf_catalog: dict[str, Any]) -> None:
        """Give sweeps the profile's parameters and catalog, because they run other pipelines."""
        loader = self.context.config_loader
        catalog[PROJECT] = Project(
            root=self.root,
            data=self.root / loader["globals"]["data"],
            env=self.context.env or "base",
            parameters=loader["parameters"],
            catalog=conf_catalog,
            runtime=loader.runtime_params or {},
        )

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Open the run and log its inputs."""
        if not self.settings.get("enabled", True):
            return
        os.environ[tracking.URI] = self._uri()
        names = "+".join(run_params.get("pipeline_names") or ["__default__"])
        os.environ[spool.FOLDER] = str(self.home / "mlflow/spool")
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.settings["experiment"]
        remote = os.environ[tracking.URI].startswith("http")
        location = None if remote else (self.home / self.settings["artifact_location"]).as_uri()
        tracking.start_run(names, experiment, location, self._tags(run_params, names))
        tracking.close_killed_runs(names)
        inputs = sorted(i for i in pipeline.inputs() if i.startswith("params:"))
        tracking.log_params(
            {name.removeprefix("params:"): tracking.plain(catalog.load(name)) for name in inputs}
        )
        packages = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions())
        tracking.log_text(
            "\n".join([f"# Python {platform.python_version()}", *packages]), "environment.txt"
        )

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Log the metrics that a node returns."""
        if dataset_name.endswith("metrics") and isinstance(data, dict):
            tracking.log_final_metrics(dataset_name, data, node.name)

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Upload the small results and close the run."""
        if tracking.run_id() is None:
            return
        for name in sorted(pipeline.all_outputs()):
            metadata = getattr(catalog.get(name), "metadata", None) or {}
            path = getattr(catalog.get(name), "_filepath", None)
            if metadata.get("mlflow") == "artifact" and path is not None and Path(path).exists():
                tracking.log_artifact(Path(path))
        self._close("FINISHED")

    @hook_impl
    def on_pipeline_error(self, error: Exception) -> None:
        """Close the run as failed, with the reason."""
        if tracking.run_id() is not None:
            self._close("FAILED", f"{type(error).__name__}: {error}")

    def _close(self, status: str, reason: str = "") -> None:
        tracking.end_run(tracking.run_id(), status, reason)
        for variable in (tracking.RUN, tracking.URI, spool.FOLDER):
            os.environ.pop(variable, None)

    def _uri(self) -> str:
        uri: str = os.environ.get("MLFLOW_TRACKING_URI") or self.settings["tracking_uri"]
        if uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
            database = self.home / uri.removeprefix("sqlite:///")
            database.parent.mkdir(parents=True, exist_ok=True)
            return f"sqlite:///{database}"
        return uri

    def _tags(self, run_params: dict[str, Any], names: str) -> dict[str, str]:
        profile = run_params.get("env") or "base"
        tags = {
            "kedro.pipeline": names,
            "kedro.env": profile,
            "process": f"{socket.gethostname()}:{os.getpid()}",
            **_git_tags(self.root),
            **(self._data_tags(names) if profile == "base" else {}),  # DVC tracks only base's data
        }
        if run_params.get("runtime_params"):  # a result that DVC cannot reproduce
            tags["kedro.runtime_params"] = str(run_params["runtime_params"])
        for variable in ("DVC_STAGE", "DVC_EXP_NAME", "DVC_EXP_BASELINE_REV"):
            if value := os.environ.get(variable):
                tags[variable.lower().replace("_", ".", 1)] = value
        return tags

    def _data_tags(self, names: str) -> dict[str, str]:
        """DVC's md5 of each data input (upstream entries of dvc.lock are current by then)."""
        folders = (self.root, self.root / "sweeps")
        locked = [s for f in folders for s in _stages_in(f / "dvc.lock").values()]
        if not locked:
            return {}
        declared = {n: s for f in folders for n, s in _stages_in(f / "dvc.yaml").items()}
        known = {  # `outs` come last: the hash after a stage wrote the data is the newest
            entry["path"]: entry.get("md5", "")
            for kind in ("deps", "outs")
            for stage in locked
            for entry in stage.get(kind, [])
        }
        inputs = [d for n in names.split("+") for d in declared.get(n, {}).get("deps", [])]
        return {f"dvc.{d}": known[d] for d in inputs if d in known and not d.startswith("src/")}


def _stages_in(file: Path) -> dict[str, Any]:
    """The stages of one of DVC's files; its paths are relative to the project's folder."""
    if not file.exists():
        return {}
    return (yaml.safe_load(file.read_text()) or {}).get("stages", {})


def _git_tags(root: Path) -> dict[str, str]:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    if not (commit := git("rev-parse", "HEAD")):
        return {}  # not a git checkout: an unpacked archive, say
    dirty = bool(git("status", "--porcelain", "--untracked-files=no"))
    return {
        "git.commit": commit,
        "git.branch": git("rev-parse", "--abbrev-ref", "HEAD"),
        "git.dirty": str(dirty),
    }
