"""Make missing input data of a chain of pipelines, by running the pipelines that make them."""

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Iterable

import yaml

from hand_pipeline import tracking
from hand_pipeline.files import atomic_write_text
from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.project import Project, load_pipeline, pipeline_names

logger = logging.getLogger(__name__)


def find_maker(project: Project, dataset: str) -> str | None:
    """The pipeline that makes a data set of the profile; None for the user's own data.

    A profile may point a data set to a user's folder, as conf/paper does; nothing is written there.
    """
    path = project.path_of(dataset)
    if path is None or not path.is_relative_to(project.data):
        return None
    makers = (n for n in pipeline_names() if dataset in load_pipeline(n).all_outputs())
    return next(makers, None)


def makers_of(project: Project, datasets: Iterable[str]) -> list[str]:
    """Pipelines that make these data sets, and what those need in turn, in the order to run.

    Raises:
        SweepError: data are missing that no pipeline makes.
    """
    found: list[str] = []
    for dataset in sorted(datasets):
        path = project.path_of(dataset)
        if path is not None and path.exists():
            continue
        if (maker := find_maker(project, dataset)) is None:
            raise SweepError(f"{dataset} is not at {path}, and no pipeline makes it: put it there")
        needed = (i for i in load_pipeline(maker).inputs() if not i.startswith("params:"))
        found += [*makers_of(project, needed), maker]
    return list(dict.fromkeys(found))


def make_missing(who: str, project: Project, datasets: Iterable[str]) -> None:
    """Run the pipelines that make missing data sets, each as its own `kedro run`.

    Args:
        who: the sweep or study that needs them.

    Raises:
        SweepError: they cannot be made.
    """
    project.sweeps.mkdir(parents=True, exist_ok=True)
    with (project.sweeps / "ground.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # another sweep or worker may be making the same data
        pipelines = makers_of(project, datasets)
        if not pipelines:
            return
        logger.info(
            "%s needs %s, which are missing; running first: %s", who,
            ", ".join(sorted(datasets)), ", ".join(pipelines),
        )  # fmt: skip
        for name in pipelines:
            _run_pipeline(project, name)


def _run_pipeline(project: Project, name: str) -> None:
    given = {"env": project.env, "pipelines": name, "params": project.runtime}
    file = project.sweeps / "ground.yml"
    atomic_write_text(file, yaml.safe_dump({"run": given}))
    command = [sys.executable, "-m", "kedro", "run", "--config", str(file)]
    apart = {k: v for k, v in os.environ.items() if k != tracking.RUN}  # a run of its own
    if code := subprocess.run(command, cwd=project.root, env=apart, check=False).returncode:
        raise SweepError(
            f"nothing was run: {name}, which makes missing data, ended with exit code {code}; "
            f"its output is above. Run it separately: kedro run --env {project.env} "
            f"--pipelines {name}"
        )
