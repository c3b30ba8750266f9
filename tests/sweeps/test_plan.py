"""Everything that is wrong with a sweep is said before anything runs."""

import pytest
from pydantic import ValidationError

from hand_pipeline.sweeps.declaration import SweepError
from hand_pipeline.sweeps.run import plan_sweep


def test_members_share_the_work_that_is_the_same_for_them(project, sweep):
    plan = plan_sweep(
        project,
        sweep(
            {"name": "a"},
            {"name": "b", "overrides": {"learn.lr": 0.2}},
            {"name": "c", "overrides": {"prepare.size": 5}},
        ),
    )
    names = [unit.name for unit in plan.units.values()]
    assert sorted(names) == ["learn", "learn", "learn", "prepare", "prepare"]
    a, b, c = plan.runs
    assert a.units[0] == b.units[0] != c.units[0]
    assert len({run.units[1] for run in plan.runs}) == 3


def test_a_default_written_out_is_the_same_work(project, sweep):
    plan = plan_sweep(project, sweep({"name": "a"}, {"name": "b", "overrides": {"learn.seed": 0}}))
    assert plan.runs[0].units == plan.runs[1].units


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            {"learn.lrr": 1},
            r"b: unknown parameter 'learn.lrr': learn has no 'lrr'; did you mean lr",
        ),
        (
            {"learm.lr": 1},
            r"no stage reads the parameter 'learm.lr'; they read learn, machine, pre",
        ),
        ({"learn.lr": -1}, r"b: parameter 'learn.lr': Input should be greater than 0, got -1"),
        ({"learn.lr": "much"}, r"parameter 'learn.lr': Input should be a valid number"),
        ({"learn.lr.low": 1}, r"parameter 'learn.lr.low': 'lr' is a value and has nothing below"),
        ({"machine.devices": 2}, r"machine settings cannot change a result"),
    ],
)
def test_a_wrong_override_names_the_member_and_the_parameter(project, sweep, overrides, message):
    with pytest.raises(SweepError, match=message):
        plan_sweep(project, sweep({"name": "a"}, {"name": "b", "overrides": overrides}))
    assert not (project.sweeps / "work").exists()


def test_all_faults_are_told_at_once(project, sweep):
    members = {"name": "a", "overrides": {"learn.lrr": 1}}, {"name": "b", "chain": ["nothing"]}
    with pytest.raises(SweepError, match=r"(?s)a: unknown parameter.*b: no pipeline 'nothing'"):
        plan_sweep(project, sweep(*members))


@pytest.mark.parametrize(
    ("members", "changed", "message"),
    [
        ([], {}, "the sweep has no members"),
        ([{"name": "a"}, {"name": "a"}], {}, "several members are named a"),
        ([{"name": "a b"}], {}, "String should match pattern"),
        ([{"name": "a"}], {"seeds": [0, 0], "seed_paths": ["learn.seed"]}, "several seeds are 0"),
        ([{"name": "a"}], {"seeds": [0, 1]}, "no `seed_paths`: all seeds would be the same run"),
        ([{"name": "a"}], {"columns": {"error": "metrics"}}, "expected DATASET:KEY"),
        ([{"name": "a", "columns": {"x": "a:b"}}], {}, "member a: columns .'x'. are not among"),
        ([{"name": "a"}], {"picture": {"columns": ["x"]}}, "the figure's columns .'x'."),
        ([{"name": "a"}], {"colums": {}}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_declaration_is_refused(sweep, members, changed, message):
    with pytest.raises(ValidationError, match=message):
        sweep(*members, **changed)


def test_a_column_of_a_data_set_that_the_chain_does_not_make_is_refused(project, sweep):
    with pytest.raises(SweepError, match=r"prepare -> learn makes no \['score_metrics'\]; it mak"):
        plan_sweep(project, sweep({"name": "a"}, columns={"x": "score_metrics:x"}))


def test_missing_data_is_said_with_what_to_do(project, sweep):
    (project.data / "raw.txt").unlink()
    with pytest.raises(SweepError, match=r"prepare needs raw, which is not at .*raw.txt: put it "):
        plan_sweep(project, sweep({"name": "a"}))


def test_a_pipeline_declared_shared_may_not_differ(project, sweep):
    members = {"name": "a"}, {"name": "b", "overrides": {"prepare.size": 5}}
    with pytest.raises(SweepError, match="'prepare' is declared shared, but its prepare is not th"):
        plan_sweep(project, sweep(*members, shared=["prepare"]))
    plan_sweep(project, sweep({"name": "a"}, {"name": "b"}, shared=["prepare"]))
    with pytest.raises(SweepError, match="'predict' is declared shared but no member runs it"):
        plan_sweep(project, sweep({"name": "a"}, shared=["predict"]))


def test_a_member_may_not_set_what_takes_the_seed(project, sweep):
    with pytest.raises(SweepError, match=r"member a sets .'learn.seed'., which take the seed"):
        plan_sweep(
            project,
            sweep({"name": "a", "overrides": {"learn.seed": 3}}, seed_paths=["learn.seed"]),
        )


def test_work_is_named_by_the_data_it_reads(project, sweep):
    before = plan_sweep(project, sweep({"name": "a"})).runs[0].units
    (project.data / "raw.txt").write_text("abcd")
    after = plan_sweep(project, sweep({"name": "a"})).runs[0].units
    assert set(before).isdisjoint(after)
    (project.data / "raw.txt").write_text("abc")
    assert plan_sweep(project, sweep({"name": "a"})).runs[0].units == before
