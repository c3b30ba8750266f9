"""dvc.yaml is generated: it agrees with the pipelines, and both graphs are the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.project import pipelines

from hand_pipeline.commands import dvcgen
from hand_pipeline.pipeline_registry import STAGES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built() -> dict[str, dict[str, Any]]:
    return dvcgen.build_stages(ROOT)


def test_dvc_yaml_is_current(built: dict[str, dict[str, Any]]) -> None:
    assert yaml.safe_load((ROOT / "dvc.yaml").read_text()) == {"stages": built}


def test_dvc_and_kedro_have_the_same_graph(built: dict[str, dict[str, Any]]) -> None:
    kedro = {
        (a, b)
        for a in STAGES
        for b in STAGES
        if a != b and pipelines[a].all_outputs() & pipelines[b].inputs()
    }
    producer = {
        path if isinstance(path, str) else next(iter(path)): name
        for name, stage in built.items()
        for kind in ("outs", "metrics", "plots")
        for path in stage.get(kind, [])
    }
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
    loop = "src/hand_pipeline/training/loop.py"
    train = {
        "pretrain",
        "finetune",
        "tokenizer",
        "maskhand",
        "generation",
        "s2hand",
        "s2hand_photos",
    }
    assert {n for n in built if loop in built[n]["deps"]} == train
    assert "src/hand_pipeline/methods/pymaf.py" not in built["pretrain"]["deps"]
    assert "src/hand_pipeline/tracking.py" not in built["pretrain"]["deps"]
