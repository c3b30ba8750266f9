"""Let Optuna choose parameters of other pipelines."""

from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps import tuning
from hand_pipeline.sweeps.declaration import TuningConfig
from hand_pipeline.sweeps.project import PROJECT, Project
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.tables import study_figure


def tune_parameters(
    project: Project, cfg: TuningConfig, machine: MachineConfig
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any], Image.Image]:
    """Run the study; returns metrics, a row per trial, the best as a configuration, a figure."""
    study = tuning.tune(project, cfg, machine)
    table = tuning.trials_table(study)
    figure = study_figure(
        table, tuning.importances(study), f"{cfg.study}: {cfg.objective}",
        minimize=cfg.direction == "minimize",
    )  # fmt: skip
    best = tuning.best_run(project, cfg, study)
    return tuning.metrics(study), table, best, to_image(figure)


def create_pipeline() -> Pipeline:
    """A declared space in; the trials, the best as a run's configuration, and pictures out."""
    return Pipeline(
        [
            Node(
                tune_parameters,
                [PROJECT, "params:tuning", "params:machine"],
                ["tuning_metrics", "tuning_table", "tuning_best_run", "tuning_picture"],
                name="tune_parameters",
            )
        ]
    )
