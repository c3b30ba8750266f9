"""A study that cannot be asked is refused before anything runs."""

import pytest
from pydantic import ValidationError

from hand_pipeline.sweeps.declaration import SweepError, TuningConfig
from hand_pipeline.sweeps.tuning import check_space


def tuning(space, **changed):
    declared = {
        "study": "toy",
        "chain": ["prepare", "learn"],
        "objective": "learn_metrics:error",
        "trials": 4,
        "space": space,
    }
    return TuningConfig(**declared | changed)


LR = {"kind": "float", "low": 0.01, "high": 1.0, "log": True}


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing to tune"),
        ({"learn.lr": {**LR, "low": 2.0}}, "an empty range: low 2 is above high 1"),
        ({"learn.lr": {"kind": "choice", "choices": []}}, "an empty range: `choices` must name"),
        ({"learn.lr": {**LR, "low": 0.0}}, "a log range needs low above 0"),
        ({"learn.lr": {"kind": "float", "low": 0.1}}, "expected both `low` and `high`"),
        ({"prepare.size": {"kind": "int", "low": 1.5, "high": 3}}, "an int range needs whole"),
        ({"learn.lr": {**LR, "when": {"learn.ends": "well"}}}, "'learn.ends' is not tuned"),
        (
            {
                "learn.ends": {"kind": "choice", "choices": ["well"]},
                "learn.lr": {**LR, "when": {"learn.ends": ["well", "badly"]}},
            },
            r"learn.ends is never \['badly'\]; it is one of",
        ),
        (
            {
                "a": {"kind": "choice", "choices": [1], "when": {"b": 1}},
                "b": {"kind": "choice", "choices": [1], "when": {"a": 1}},
            },
            "circular conditions",
        ),
    ],
)
def test_a_wrong_space_is_refused(space, message):
    with pytest.raises(ValidationError, match=message):
        tuning(space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"learn.rate": LR}, "learn.rate: unknown parameter 'learn.rate'"),
        ({"lern.lr": LR}, "no stage reads the parameter 'lern.lr'"),
        (
            {"learn.lr": {"kind": "float", "low": -1.0, "high": 1.0}},
            "learn.lr: parameter 'learn.lr': Input should be greater than 0, got -1",
        ),
    ],
)
def test_unknown_paths_and_impossible_ends_are_found_by_planning(project, space, message):
    with pytest.raises(SweepError, match=message):
        check_space(project, tuning(space))


def test_the_question_changes_with_fixed_parameters_and_data_but_not_with_tuned_ones(project):
    before = check_space(project, tuning({"learn.lr": LR}))
    project.parameters["learn"]["lr"] = 0.7
    assert check_space(project, tuning({"learn.lr": LR})) == before
    project.parameters["prepare"]["size"] = 9
    changed = check_space(project, tuning({"learn.lr": LR}))
    assert changed["parameters"]["prepare"] != before["parameters"]["prepare"]
    (project.data / "raw.txt").write_text("another")
    assert check_space(project, tuning({"learn.lr": LR}))["data"] != changed["data"]
