"""A sweep as a Kedro pipeline, with its figures."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.predict import draw_samples, load_predictions
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import load_method
from hand_pipeline.sweeps import results
from hand_pipeline.sweeps.declaration import SweepConfig, SweepError
from hand_pipeline.sweeps.project import PROJECT, Project
from hand_pipeline.sweeps.results import RunRecord, record_of
from hand_pipeline.sweeps.run import run_sweep
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.hands import comparison_grid
from hand_pipeline.viz.tables import sweep_figure

Results = tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, Image.Image]
_NEEDED = {"labelled_hands", "predicted_hands", "samples_table"}
"""Data sets of each run that `draw: hands` reads."""


def sweep_pipeline(name: str, draw: str | None = None) -> Pipeline:
    """The pipeline of the sweep declared as `sweeps.NAME` in the parameters.

    Makes NAME_metrics (mean, spread, every seed), NAME_table (a row per member), NAME_runs_table
    (a row per run) and NAME_picture; with `draw: hands` also NAME_hands_picture.
    """

    def run(project: Project, sweep: SweepConfig, machine: MachineConfig) -> Results:
        records = run_sweep(name, project, sweep, machine)
        members = results.members_table(sweep, records)
        runs = results.runs_table(sweep, records)
        return results.metrics(sweep, records), members, runs, draw_sweep(sweep, members)

    def see(project: Project, sweep: SweepConfig, runs: pd.DataFrame) -> Image.Image:
        return draw_hands(name, project, sweep, runs)

    declared, table = f"params:sweeps.{name}", f"{name}_runs_table"
    outputs = [f"{name}_metrics", f"{name}_table", table, f"{name}_picture"]
    nodes = [Node(run, [PROJECT, declared, "params:machine"], outputs, name=f"run_{name}")]
    if draw == "hands":
        picture = f"{name}_hands_picture"
        nodes += [Node(see, [PROJECT, declared, table], picture, name=f"draw_{picture}")]
    return Pipeline(nodes)


def draw_sweep(sweep: SweepConfig, members: pd.DataFrame) -> Image.Image:
    """The sweep's figure, as its `picture` configuration says."""
    picture = sweep.picture
    places = {m.name: (m.group, m.x) for m in sweep.members if m.x is not None}
    columns = picture.columns or list(sweep.columns)
    figure = sweep_figure(
        members, columns, sweep.title, places or None, picture.x_label, picture.log_x,
        picture.trade_offs,
    )  # fmt: skip
    return to_image(figure)


def draw_hands(name: str, project: Project, sweep: SweepConfig, runs: pd.DataFrame) -> Image.Image:
    """Figure of random held-out hands, as predicted by each member's first finished run.

    The model shown is the one in the member's first column: `handmim` of
    `evaluate_metrics:handmim.pa_mpjpe_mm`.

    Args:
        name: the sweep's.
        runs: member, seed and status of each run.

    Raises:
        SweepError: the members' chain predicts no hands.
    """
    finished = runs[runs["status"] == "finished"].drop_duplicates("member")
    records = {
        member: record_of(project.sweeps / name, member, int(seed))
        for member, seed in zip(finished["member"], finished["seed"])
    }
    for member, record in records.items():
        if lacking := _NEEDED - record.files.keys():
            raise SweepError(
                f"{name}: `draw: hands` needs a chain that predicts held-out hands, as `evaluate` "
                f"does; that of {member} makes no {', '.join(sorted(lacking))}"
            )
    first = next(iter(records.values()))
    mano = _hand_model(first)
    held_out = open_labelled_hands(first.files["labelled_hands"], "evaluation", mano)
    batch = draw_samples(held_out, sweep.picture.shown, seed=0)[1]
    meshes, errors = {}, {}
    for member in sweep.members:
        if member.name in records:
            files = records[member.name].files
            place = next(iter((sweep.columns | member.columns).values()))
            model = place.partition(":")[2].partition(".")[0]
            found = load_predictions(files["predicted_hands"] / f"{model}.npz")
            meshes[member.name] = found.meshes([found.ids.index(name) for name in batch.ids])
            samples = pd.read_csv(files["samples_table"])
            errors[member.name] = samples[samples["model"] == model].set_index("id")["pa_mpvpe_mm"]
    captions = [
        f"{sample}: PA-MPVPE {', '.join(f'{m} {e[sample]:.1f}' for m, e in errors.items())} mm"
        for sample in batch.ids
    ]
    images = {"photo": batch.images}
    return comparison_grid(images, batch.intrinsics, meshes, batch.vertices, mano.faces, captions)


def _hand_model(record: RunRecord) -> ManoHand:
    """The hand model of a run's trained methods, which the labelled poses belong to."""
    for dataset, file in record.files.items():
        if dataset.endswith("_method"):
            mano = getattr(load_method(file), "mano", None)
            if isinstance(mano, ManoHand):
                return mano
    raise SweepError(f"{record.member}: none of its trained methods has a hand model")
