"""A sweep as a Kedro pipeline."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps import results
from hand_pipeline.sweeps.declaration import SweepConfig
from hand_pipeline.sweeps.project import PROJECT, Project
from hand_pipeline.sweeps.run import run_sweep
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.tables import sweep_figure

Results = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]


def sweep_pipeline(name: str) -> Pipeline:
    """The sweep that stands under `sweeps.NAME` in the parameters.

    Leaves NAME_metrics (mean, spread, every seed), NAME_table (a row a member), NAME_runs_table
    (a row a run) and NAME_picture.
    """

    def run(project: Project, sweep: SweepConfig, machine: MachineConfig) -> Results:
        records = run_sweep(name, project, sweep, machine)
        members = results.members_table(sweep, records)
        runs = results.runs_table(sweep, records)
        return results.metrics(sweep, records), members, runs, draw(sweep, members)

    outputs = [f"{name}_metrics", f"{name}_table", f"{name}_runs_table", f"{name}_picture"]
    inputs = [PROJECT, f"params:sweeps.{name}", "params:machine"]
    return Pipeline([Node(run, inputs, outputs, name=f"run_{name}")])


def draw(sweep: SweepConfig, members: pd.DataFrame) -> Image.Image:
    """The sweep's picture, as its declaration wants it."""
    picture = sweep.picture
    places = {m.name: (m.group, m.x) for m in sweep.members if m.x is not None}
    columns = picture.columns or list(sweep.columns)
    figure = sweep_figure(
        members, columns, sweep.title, places or None, picture.x_label, picture.log_x,
        picture.trade_offs,
    )  # fmt: skip
    return to_image(figure)
