"""What a chain stands on: who makes it, in which order, and what is never made."""

from pathlib import Path

import pytest

from hand_pipeline.sweeps import ground
from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.run import plan_on_ground, plan_sweep


@pytest.fixture
def made(project, monkeypatch) -> list[str]:
    """Pipelines that were run; each leaves its metrics."""
    names: list[str] = []

    def run(_, name: str) -> None:
        names.append(name)
        (project.data / f"{name}_metrics.json").write_text('{"numbers": {"size": 4, "letters": 3}}')

    monkeypatch.setattr(ground, "_run_pipeline", run)
    return names


def test_missing_inputs_are_made_in_order_and_the_plan_holds_their_hashes(project, sweep, made):
    metric = {"x": "score_metrics:x"}
    plan = plan_on_ground(
        "toy", project,
        lambda: plan_sweep(project, sweep({"name": "a"}, chain=["score"], columns=metric)),
    )  # fmt: skip
    assert made == ["prepare", "learn"]
    assert plan.missing == set()
    assert set(plan.inputs) == {"learn_metrics"}


def test_only_what_is_missing_is_made(project, made):
    (project.data / "prepare_metrics.json").write_text("{}")
    ground.make_missing("toy", project, ["learn_metrics", "prepare_metrics"])
    assert made == ["learn"]
    ground.make_missing("toy", project, ["learn_metrics"])
    assert made == ["learn"]


def test_nothing_is_made_where_a_run_is_wrong(project, sweep, made):
    wrong = sweep(
        {"name": "a", "overrides": {"learn.lrr": 1}}, chain=["learn"],
        columns={"error": "learn_metrics:error"},
    )  # fmt: skip
    with pytest.raises(SweepError, match=r"a: unknown parameter 'learn\.lrr'"):
        plan_on_ground("toy", project, lambda: plan_sweep(project, wrong))
    assert made == []


def test_what_users_give_is_never_made(project, made):
    (project.data / "raw.txt").unlink()
    with pytest.raises(SweepError, match=r"raw is not at .*raw\.txt, and no pipeline makes it"):
        ground.make_missing("toy", project, ["prepare_metrics"])
    elsewhere = str(Path("/licensed/{name}.json"))
    project.catalog["{name}_metrics"]["filepath"] = elsewhere
    assert ground.find_maker(project, "prepare_metrics") is None
    assert made == []


def test_a_pipeline_that_cannot_be_run_is_told(project):
    (project.root / "pyproject.toml").write_text("")  # no project of Kedro
    with pytest.raises(SweepError, match=r"nothing was run: prepare, which makes .* exit code"):
        ground.make_missing("toy", project, ["prepare_metrics"])
