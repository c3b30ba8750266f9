"""The sweeps and the study that are shipped are in order, in every profile."""

import itertools
import json
import re
from functools import cache, reduce
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from hand_pipeline.config import MachineConfig
from hand_pipeline.settings import CONFIG_LOADER_ARGS
from hand_pipeline.sweeps.declaration import SweepConfig, TuningConfig
from hand_pipeline.sweeps.pipeline import sweep_pipeline
from hand_pipeline.sweeps.project import Project, load_chain, override, typed_parameters
from hand_pipeline.sweeps.run import run_sweep, runs_of
from tests.fixtures.write import write_fixture

ROOT = Path(__file__).parents[2]
NAMES = (
    "ablations", "comparisons", "linear_probe", "cross_dataset", "unlabelled_fractions",
    "vit_sizes", "partial_finetuning", "scalability", "tokenizer_sizes", "maskhand_ablations",
    "s2hand_ablations",
)  # fmt: skip


@cache  # OmegaConf takes a second
def parameters(profile: str) -> dict[str, Any]:
    return OmegaConfigLoader(
        str(ROOT / "conf"), env=profile, base_env="base",
        merge_strategy=CONFIG_LOADER_ARGS["merge_strategy"],
    )["parameters"]  # fmt: skip


def test_every_declared_sweep_is_a_pipeline() -> None:
    assert set(parameters("base")["sweeps"]) == set(NAMES)
    for name in NAMES:
        node, *_ = sweep_pipeline(name).nodes
        assert f"params:sweeps.{name}" in node.inputs


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "profile"),
    [
        *itertools.product(NAMES, ["base", "smoke", "open", "bench", "paper"]),
        ("left_out_sets", "open"),
    ],
)
def test_every_member_builds_its_typed_configurations(name: str, profile: str) -> None:
    values = parameters(profile)
    sweep = SweepConfig(**values["sweeps"][name])
    for run in runs_of(sweep):
        whole = reduce(lambda a, b: a + b, load_chain(run.chain).values())
        typed_parameters(whole.nodes, override(values, run.overrides, whole))
        wanted = {place.partition(":")[0] for place in run.columns.values()}
        assert wanted | set(run.outputs) <= whole.all_outputs()


def test_the_shipped_study_is_in_order() -> None:
    values = parameters("smoke")
    cfg = TuningConfig(**values["tuning"])
    whole = reduce(lambda a, b: a + b, load_chain(cfg.chain).values())
    lows = {path: one.choices[0] if one.choices else one.low for path, one in cfg.space.items()}
    typed_parameters(whole.nodes, override(values, lows, whole))


@pytest.mark.slow
def test_a_real_training_that_diverges_is_told_and_the_other_member_is_scored(
    tmp_path: Path,
) -> None:
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), env="smoke", base_env="base",
        merge_strategy=CONFIG_LOADER_ARGS["merge_strategy"],
    )  # fmt: skip
    data = loader["globals"]["data"]
    catalog = json.loads(json.dumps(loader["catalog"]).replace(f'"{data}/', f'"{tmp_path}/'))
    for split in ("training", "evaluation"):
        write_fixture("freihand", tmp_path / "02_intermediate/synthetic_hands", split, 4)
    project = Project(tmp_path, tmp_path, "smoke", loader["parameters"], catalog)
    sweep = SweepConfig(
        title="rates",
        chain=["tokenizer"],
        columns={"PA-MPJPE mm": "tokenizer_scores_metrics:pa_mpjpe_mm"},
        members=[
            {"name": "wild", "overrides": {"tokenizer.training.lr": 1e30}},
            {"name": "tame"},
        ],
    )
    wild, tame = run_sweep("rates", project, sweep, MachineConfig(accelerator="cpu"))
    assert (wild.status, tame.status) == ("failed", "finished")
    assert re.match(r"train_tokenizer: NonFiniteLossError: .* is (nan|inf) at step \d", wild.reason)
    assert tame.metrics["PA-MPJPE mm"] > 0
