"""Sweeps as they run: shared work once, failures told, finished members left alone."""

import json

import pandas as pd
import pytest

from hand_pipeline.config import MachineConfig
from hand_pipeline.sweeps import results
from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.pipeline import draw_sweep
from hand_pipeline.sweeps.run import run_sweep

from .conftest import work

pytestmark = pytest.mark.slow  # the process server takes seconds to start


def test_a_sweep_ends_as_a_table_with_mean_and_spread(project, sweep, machine):
    declared = sweep(
        {"name": "slow", "overrides": {"learn.lr": 0.5}},
        {"name": "fast", "overrides": {"learn.lr": 1.0}},
        seeds=[0, 2],
        seed_paths=["learn.seed"],
    )
    records = run_sweep("toy", project, declared, machine)
    table = results.members_table(declared, records).set_index("member")
    assert table["error"].tolist() == [3.0, 5.0]  # size 4 x lr + mean of seeds 0 and 2
    assert table["error std"].tolist() == pytest.approx([2**0.5, 2**0.5])
    assert table["seeds"].tolist() == [2, 2]
    assert len(work(project, "prepare")) == 1
    assert len(work(project, "learn")) == 4
    runs = results.runs_table(declared, records)
    assert runs["error"].tolist() == [2.0, 4.0, 4.0, 6.0]
    found = json.loads(json.dumps(results.metrics(declared, records)))
    assert found["fast"]["error"] == {
        "mean": 5.0, "std": pytest.approx(2**0.5), "seed_0": 4.0, "seed_2": 6.0
    }  # fmt: skip
    assert draw_sweep(declared, table.reset_index()).width > 300


def test_units_side_by_side_print_into_files_of_their_own(project, sweep, machine, capfd):
    members = [{"name": "a", "overrides": {"learn.lr": 1.0}}, {"name": "b"}]
    run_sweep("toy", project, sweep(*members), machine.model_copy(update={"sweep_workers": 2}))
    files = list((project.sweeps / "work/learn").glob("*/output.txt"))
    assert [file.read_text().count("a bar of learn") for file in files] == [1, 1]
    assert "a bar of learn" not in "".join(capfd.readouterr())


def test_finished_members_are_never_run_again_and_new_ones_are(project, sweep, machine):
    first = {"name": "a"}
    run_sweep("toy", project, sweep(first), machine)
    before = work(project, "learn")
    run_sweep("toy", project, sweep(first), machine)
    assert work(project, "learn") == before
    wider = sweep(first, {"name": "b", "overrides": {"learn.lr": 1}})
    records = run_sweep("other", project, wider, machine)
    after = work(project, "learn")
    assert before.items() < after.items()
    assert len(after) == 2
    assert [r.status for r in records] == ["finished", "finished"]
    record = json.loads((project.sweeps / "other/b/seed_0.json").read_text())
    assert record["metrics"] == {"error": 4.0, "size": 4.0}
    assert record["overrides"] == {"learn.lr": 1}


@pytest.mark.parametrize("side_by_side", [1, 2])
def test_a_failed_member_is_told_with_its_reason_and_the_others_carry_on(
    project, sweep, side_by_side
):
    declared = sweep(
        {"name": "nan", "overrides": {"learn.ends": "in an error"}},
        {"name": "killed", "overrides": {"learn.ends": "killed"}},
        {"name": "blank", "overrides": {"learn.ends": "in nan"}},
        {"name": "well"},
    )
    machine = MachineConfig(accelerator="cpu", sweep_workers=side_by_side)
    records = run_sweep("toy", project, declared, machine)
    table = results.members_table(declared, records).set_index("member")
    assert table["failed"].to_dict() == {"nan": 1, "killed": 1, "blank": 1, "well": 0}
    assert table.loc["nan", "reason"] == (
        "learn: FloatingPointError: loss term 'pose' is nan at step 3"
    )
    assert "ended by signal 9" in table.loc["killed", "reason"]
    assert table.loc["blank", "reason"] == "column error: learn_metrics:error is nan"
    assert table.loc["well", "error"] == pytest.approx(0.4)
    assert pd.isna(table.loc["nan", "error"])
    assert "nan" not in json.dumps(results.metrics(declared, records)["well"]).lower()
    assert draw_sweep(declared, table.reset_index()).width > 300


def test_a_failed_shared_stage_fails_its_members_once(project, sweep, machine):
    project.parameters["learn"]["ends"] = "in an error"
    declared = sweep(
        {"name": "a"}, {"name": "b"}, {"name": "c", "overrides": {"learn.ends": "well"}}
    )
    records = run_sweep("toy", project, declared, machine)
    assert [r.status for r in records] == ["failed", "failed", "finished"]


def test_a_sweep_of_which_every_run_failed_is_an_error(project, sweep, machine):
    declared = sweep({"name": "a", "overrides": {"learn.ends": "in an error"}})
    with pytest.raises(SweepError, match=r"every run failed:\n  a seed 0: learn: FloatingPoint"):
        run_sweep("toy", project, declared, machine)


def test_a_column_without_a_metric_keeps_the_work(project, sweep, machine):
    wrong = sweep({"name": "a"}, columns={"error": "learn_metrics:eror"})
    with pytest.raises(SweepError, match=r"learn_metrics has no metric 'eror'; it has error, loss"):
        run_sweep("toy", project, wrong, machine)
    before = work(project, "learn")
    right = sweep({"name": "a"}, columns={"loss": "learn_metrics:loss.total"})
    (record,) = run_sweep("toy", project, right, machine)
    assert record.metrics == {"loss": 1.0}
    assert work(project, "learn") == before
