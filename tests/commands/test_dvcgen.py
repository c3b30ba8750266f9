"""DVC's files are generated: they agree with the pipelines, and both graphs are the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.project import pipelines

from hand_pipeline.commands import dvcgen
from hand_pipeline.pipeline_registry import OPEN_STAGES, STAGES

ROOT = Path(__file__).parents[2]
SOURCE = "src/hand_pipeline"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files() -> dict[str, dict[str, dict[str, Any]]]:
    return dvcgen.build_stages(ROOT)


@pytest.fixture(scope="module")
def built(files: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return files["dvc.yaml"]


@pytest.fixture(scope="module")
def sweeps(files: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return files["sweeps/dvc.yaml"]


def outputs(stage: dict[str, Any]) -> list[str]:
    kinds = [stage.get(kind, []) for kind in ("outs", "metrics", "plots")]
    return [each if isinstance(each, str) else next(iter(each)) for kind in kinds for each in kind]


def test_the_files_are_current(files: dict[str, dict[str, dict[str, Any]]]) -> None:
    for name, stages in files.items():
        assert yaml.safe_load((ROOT / name).read_text()) == {"stages": stages}, name


@pytest.fixture(scope="module")
def open_data(files: dict[str, dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    return files["open/dvc.yaml"]


def test_every_declared_sweep_is_a_stage_and_a_plain_repro_leaves_it_alone(
    sweeps: dict[str, dict[str, Any]], built: dict[str, dict[str, Any]]
) -> None:
    declared = yaml.safe_load((ROOT / "conf/base/parameters_sweeps.yml").read_text())["sweeps"]
    assert set(sweeps) == {*declared, "tuning"}
    assert not set(sweeps) & set(built)


def test_a_sweep_depends_on_what_its_chain_reads_and_leaves_its_tables(
    sweeps: dict[str, dict[str, Any]], built: dict[str, dict[str, Any]]
) -> None:
    stage = sweeps["scalability"]
    parameters = {key for file in stage["params"] for keys in file.values() for key in keys}
    assert {"sweeps.scalability", "pretrain", "finetune", "backbone"} <= parameters
    assert not {"machine", "sweeps.ablations"} & parameters
    assert {"data/03_primary/hand_crops", "data/02_intermediate/synthetic_hands"} <= set(
        stage["deps"]
    )
    for name in ("pretrain", "finetune", "evaluate"):
        code = {d for d in built[name]["deps"] if d.startswith("src/")}
        assert code <= set(stage["deps"]), name
    assert not [d for d in stage["deps"] if "06_models" in d]  # made by the sweep itself
    assert "data/08_reporting/scalability_table.csv" in stage["outs"]
    assert stage["wdir"] == ".."


def test_what_is_shipped_is_trained_in_its_own_profile(
    open_data: dict[str, dict[str, Any]],
) -> None:
    assert tuple(open_data) == OPEN_STAGES
    for name, stage in open_data.items():
        assert stage["cmd"] == f"kedro run --env open --pipelines {name}"
        assert stage["wdir"] == ".."
        made = [path for path in outputs(stage) if not path.startswith("data/open/")]
        assert not made, name


def test_a_profile_over_base_is_tracked_beside_it(open_data: dict[str, dict[str, Any]]) -> None:
    tracked = {file: keys for each in open_data["lifter"]["params"] for file, keys in each.items()}
    assert tracked["conf/open/parameters.yml"] == ["lifter"]
    assert "lifter_evaluation" in tracked["conf/base/parameters_lifter.yml"]
    over_base = yaml.safe_load((ROOT / "conf/open/parameters.yml").read_text())
    for name, stage in open_data.items():
        keys = {k for each in stage["params"] for ks in each.values() for k in ks}
        read = {file: set(ks) for each in stage["params"] for file, ks in each.items()}
        assert read.get("conf/open/parameters.yml", set()) == keys & set(over_base), name


def test_folders_that_a_mix_names_are_dependencies(open_data: dict[str, dict[str, Any]]) -> None:
    """Kedro does not see them: they stand in parameters, not in a node's inputs."""
    assert "data/open/03_primary/pseudo_hands" in open_data["finetune"]["deps"]
    assert "data/open/02_intermediate/synthetic_hands/training/rgb" in open_data["pretrain"]["deps"]


def test_a_member_with_a_chain_of_its_own_counts() -> None:
    parameters = {
        "sweeps": {
            "one": {
                "title": "t",
                "chain": ["pretrain"],
                "columns": {"a": "b:c"},
                "members": [{"name": "m", "chain": ["tokenizer", "pretrain"]}],
            }
        },
        "tuning": yaml.safe_load((ROOT / "conf/base/parameters_tuning.yml").read_text())["tuning"],
    }
    assert dvcgen._chains(parameters)["one"] == ["pretrain", "tokenizer"]


def test_dvc_and_kedro_have_the_same_graph(built: dict[str, dict[str, Any]]) -> None:
    kedro = {
        (a, b)
        for a in STAGES
        for b in STAGES
        if a != b and pipelines[a].all_outputs() & pipelines[b].inputs()
    }
    producer = {path: name for name, stage in built.items() for path in outputs(stage)}
    dvc = {
        (producer[d], name) for name, stage in built.items() for d in stage["deps"] if d in producer
    }
    assert dvc == kedro


def test_every_parameter_a_stage_reads_is_tracked_but_the_machine(
    built: dict[str, dict[str, Any]],
) -> None:
    for name, stage in built.items():
        tracked = {key for file in stage["params"] for keys in file.values() for key in keys}
        read = {i.removeprefix("params:") for i in pipelines[name].inputs() if ":" in i}
        assert tracked == read - {"machine"}, name


def test_shared_code_is_a_dependency_of_each_stage_that_uses_it(
    built: dict[str, dict[str, Any]],
) -> None:
    train = {
        "pretrain",
        "finetune",
        "tokenizer",
        "maskhand",
        "generation",
        "s2hand",
        "s2hand_photos",
    }
    assert train <= {n for n in built if f"{SOURCE}/training" in built[n]["deps"]}
    assert {n for n in built if f"{SOURCE}/viz" in built[n]["deps"]} >= {*train, "report"}
    assert not [n for n in built if f"{SOURCE}/tracking.py" in built[n]["deps"]]


def test_a_stage_depends_on_its_own_papers(built: dict[str, dict[str, Any]]) -> None:
    found = {
        name: {
            d.removeprefix(f"{SOURCE}/methods/") for d in stage["deps"]
            if d.startswith(f"{SOURCE}/methods/") and not d.endswith(".py")
        }
        for name, stage in built.items()
    }  # fmt: skip
    assert found["pretrain"] == {"self_distillation", "peclr"}
    assert found["finetune"] == {"pymaf"}
    assert found["tokenizer"] == {"maskhand"}
    assert found["s2hand"] == {"s2hand"}
    assert found["export"] == {"pymaf"}  # which it rebuilds from a checkpoint, by name
    assert found["report"] == set()
    assert f"{SOURCE}/methods/lifter.py" in built["shipped"]["deps"]  # a shipped model's, by name


def test_the_files_are_short(files: dict[str, dict[str, dict[str, Any]]]) -> None:
    assert sum(len((ROOT / name).read_text().splitlines()) for name in files) <= 1600
