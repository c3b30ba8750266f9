"""Pictures of sweeps and studies show what the tables hold."""

import pandas as pd
import pytest

from hand_pipeline.viz.tables import study_figure, sweep_figure

TABLE = pd.DataFrame(
    {
        "member": ["a", "b", "c"],
        "error": [5.0, 4.0, float("nan")],
        "error std": [0.5, float("nan"), float("nan")],
    }
)


def test_bars_stand_for_means_and_name_what_failed():
    (axes,) = sweep_figure(TABLE, ["error"], "toy").get_axes()
    assert [patch.get_height() for patch in axes.patches] == [5.0, 4.0, 0.0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b", "c\n(failed)"]
    low, high = axes.get_ylim()
    assert low == 0
    assert high > 5.5
    assert [text.get_text() for text in axes.texts] == ["5", "4", ""]


def test_members_with_a_place_are_lines_and_the_others_levels():
    places = {"a": ("ours", 20.0), "c": ("ours", 10.0)}
    (axes,) = sweep_figure(TABLE, ["error"], "toy", places, "share", log_x=True).get_axes()
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sorted(legend) == ["b", "ours"]
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "20"]
    level = next(line for line in axes.lines if line.get_linestyle() == "--")
    assert list(level.get_ydata()) == [4.0, 4.0]


def test_a_trade_off_shows_what_each_member_costs_and_gives():
    table = TABLE.assign(error=[5.0, 4.0, 3.0], ms=[20.0, 80.0, 40.0], **{"ms std": float("nan")})
    places = {"a": ("ours", 1.0), "c": ("ours", 2.0), "b": ("theirs", 1.0)}
    drawn = sweep_figure(table, ["error"], "toy", places, trade_offs=[("ms", "error")])
    axes = drawn.get_axes()[1]
    lines = {bar.get_label(): bar.lines[0].get_xydata().tolist() for bar in axes.containers}
    assert lines == {"ours": [[20.0, 5.0], [40.0, 3.0]], "theirs": [[80.0, 4.0]]}
    assert (axes.get_xlabel(), axes.get_xscale()) == ("ms", "log")
    with pytest.raises(ValueError, match="expected some of member"):
        sweep_figure(table, ["error"], "toy", trade_offs=[("px", "error")])


def test_an_unknown_column_is_an_error():
    with pytest.raises(ValueError, match="expected some of member, error, error std, got"):
        sweep_figure(TABLE, ["eror"], "toy")


def test_a_study_shows_the_best_so_far_and_the_importances():
    trials = pd.DataFrame(
        {
            "trial": [0, 1, 2, 3],
            "state": ["complete", "pruned", "complete", "complete"],
            "objective": [3.0, float("nan"), 5.0, 2.0],
        }
    )
    figure = study_figure(trials, {"lr": 0.75, "width": 0.25}, "toy")
    history, bars = figure.get_axes()
    best = next(line for line in history.lines if line.get_label() == "best so far")
    assert list(best.get_ydata()) == [3.0, 3.0, 2.0]
    assert [bar.get_width() for bar in bars.patches] == [0.25, 0.75]
    assert "too few" in study_figure(trials, {}, "toy").get_axes()[1].texts[0].get_text()
    with pytest.raises(ValueError, match="at least one complete trial"):
        study_figure(trials[trials["state"] == "pruned"], {}, "toy")
